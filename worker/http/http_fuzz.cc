// Whatever a client sends, and however it is cut into pieces: through the real
// connection code each byte sequence gets the same answers whole and in pieces,
// the answers are well-formed, and nothing behind a refused request is served.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

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

// The statuses: the chunks of a stream follow the pieces in which its request
// came. Without a refusal at the end: what can't become a request is refused as
// soon as somebody looks, which in pieces may be never before the client ends.
std::string Statuses(absl::string_view answers) {
  constexpr size_t kStatus = 3;
  std::string statuses;
  while (true) {
    const size_t at = answers.find("HTTP/1.1 ");
    if (at == absl::string_view::npos) break;
    answers.remove_prefix(at + 9);
    // And not the text of a body.
    if (answers.substr(0, 1).find_first_of("12345") == 0) {
      absl::StrAppend(&statuses, answers.substr(0, kStatus));
    }
  }
  const absl::string_view last = absl::string_view(statuses).substr(
      statuses.size() < kStatus ? 0 : statuses.size() - kStatus);
  if (last == "400" || last == "413" || last == "431" || last == "501" ||
      last == "505") {
    statuses.resize(statuses.size() - kStatus);
  }
  return statuses;
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
  CHECK(baton::Statuses(split) == baton::Statuses(whole) ||
        absl::string_view(split).find(" 100 ") != absl::string_view::npos)
      << "in pieces of " << piece << ":\n"
      << split << "\nwhole:\n"
      << whole;
  return 0;
}
