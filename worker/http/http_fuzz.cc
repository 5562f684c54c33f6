// Whatever a client sends, and however it is cut into pieces: through the real
// connection code each byte sequence gets the same answers whole and in pieces,
// the answers are well-formed, and nothing behind a refused request is served.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "net/testing/pair.h"
#include "worker/http/http_call.h"
#include "worker/http/http_connection.h"
#include "worker/http/http_service.h"
#include "worker/http/http_worker.h"

namespace baton {
namespace {

using testing::Pair;

// Every way to look at a request.
HttpResponse Look(const HttpRequest& request) {
  std::string text = absl::StrCat(
      request.method_name(), "|", request.path().size(), "|",
      request.Param("name").size(), "|",
      request.Query("a").value_or("-").size(), "|", request.host().size(), "|",
      request.form().size(), "|", request.body().size());
  for (const HttpField& field : request.headers()) {
    absl::StrAppend(&text, "|", field.name.size(), "=", field.value.size());
  }
  return HttpResponse::Text(std::move(text));
}

Task<HttpResponse> Body(HttpCall call) {
  absl::StatusOr<std::string> body = co_await call.ReadBody();
  if (!body.ok()) co_return body.status();
  co_return HttpResponse::Text(absl::StrCat(body->size()));
}

Task<> Parts(HttpCall call) {
  IoError error = IoError::kOk;
  while (error == IoError::kOk) {
    const ReadResult part = co_await call.ReadSome();
    if (!part) break;
    // Of its size: what a client sends must not look like an answer.
    const std::string masked(part.size(), 'x');
    error = co_await call.Send(masked);
  }
  if (error == IoError::kOk) error = co_await call.SendEvent({.data = "end"});
}

const HttpService& Service() {
  static const HttpService& service = []() -> const HttpService& {
    auto* made = std::make_unique<HttpService>().release();
    made->Get("/", Look)
        .Post("/", Look)
        .Get("/x/{name}", Look)
        .Put("/x/{rest*}", Look)
        .Post("/b", Body)
        .Get("/b", Body)
        .Post("/p", Parts)
        .Get("/p", Parts);
    return *made;
  }();
  return service;
}

// What all runs share, so that most of the time goes to requests: the pair
// keeps the loop.
struct World {
  SimulatedClock clock;
  HttpWorker worker{{}};
  StreamSettings settings;
  std::optional<Pair> keeper;
};

World& TheWorld() {
  static World& world = []() -> World& {
    auto* made = std::make_unique<World>().release();
    made->settings.service_data = std::make_shared<HttpListener>(
        HttpListener{.service = &Service(), .max_body = 2000});
    made->keeper.emplace([](Connection) -> Task<> { co_return; }, &made->clock);
    return *made;
  }();
  return world;
}

// What a client gets in all, but for the dates.
std::string Answers(absl::string_view bytes, size_t piece) {
  World& world = TheWorld();
  Pair pair(ServeHttp, &world.clock, world.settings);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    pair.Send(bytes.substr(at, piece));
  }
  pair.CloseWrite();
  if (!pair.closed()) pair.Advance(absl::Minutes(3));
  CHECK(pair.closed()) << "it hangs";
  std::string answers = pair.Received();
  for (size_t at = answers.find("Date: "); at != std::string::npos;
       at = answers.find("Date: ", at + 1)) {
    answers.replace(at, 35, std::string(35, 'd'));
  }
  return answers;
}

// Of an answer: its status, and whether it is the connection's last.
constexpr size_t kEntry = 4;

// Of the answers, one behind the other: the chunks of a stream follow the
// pieces in which its request came.
std::string Entries(absl::string_view answers) {
  std::string entries;
  while (true) {
    const size_t at = answers.find("HTTP/1.1 ");
    if (at == absl::string_view::npos) return entries;
    answers.remove_prefix(at + 9);
    // And not the text of a body.
    if (answers.substr(0, 1).find_first_of("12345") != 0) continue;
    const absl::string_view head = answers.substr(0, answers.find("\r\n\r\n"));
    absl::StrAppend(
        &entries, answers.substr(0, kEntry - 1),
        absl::StrContains(head, "\r\nConnection: close") ? "c" : "k");
  }
}

absl::string_view WithoutTheLast(absl::string_view entries) {
  if (absl::EndsWith(entries, "c")) entries.remove_suffix(kEntry);
  return entries;
}

// Whatever the pieces, the same requests are served. Only the answer that ends
// the connection may come earlier, or be another one: what can't become a
// request, or its body, is refused as soon as somebody looks, and a body that
// nobody reads ends the connection unless it is here.
bool Agree(absl::string_view a, absl::string_view b) {
  if (WithoutTheLast(a) == WithoutTheLast(b)) return true;
  if (a.size() > b.size()) std::swap(a, b);
  return absl::EndsWith(a, "c") && absl::StartsWith(b, WithoutTheLast(a));
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using baton::Answers;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = Answers(bytes, size + 1);
  // 100 Continue depends on what has come by then.
  if (absl::string_view(whole).find(" 100 ") != absl::string_view::npos) {
    return 0;
  }
  const size_t piece = size == 0 ? 1 : 1 + data[size - 1] % 7;
  const std::string split = Answers(bytes, piece);
  CHECK(baton::Agree(baton::Entries(split), baton::Entries(whole)) ||
        absl::string_view(split).find(" 100 ") != absl::string_view::npos)
      << "in pieces of " << piece << ":\n"
      << split << "\nwhole:\n"
      << whole;
  return 0;
}
