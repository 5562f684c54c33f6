// An HTTP service for tests and measurements.

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "baton.h"

namespace baton {
namespace {

HttpResponse Hello(const HttpRequest& /*request*/) {
  return HttpResponse::Text("Hello, World!");
}

HttpResponse Who(const HttpRequest& request) {
  return HttpResponse::Text(
      absl::StrCat(request.client(), " ", request.id(), "\n"));
}

HttpResponse Echo(const HttpRequest& request) {
  return HttpResponse::Text(std::string(request.body()));
}

// One megabyte, which all its readers share.
HttpResponse Large(const HttpRequest& /*request*/) {
  static const auto& body = *new std::shared_ptr<const std::string>(
      std::make_shared<const std::string>(1'000'000, 'x'));
  return HttpResponse().SharedBody(body);
}

std::string Reverse(const std::string& text) {
  return {text.rbegin(), text.rend()};
}

Task<HttpResponse> ReverseOnPool(HttpCall call) {
  absl::StatusOr<std::string> body = co_await call.ReadBody();
  if (!body.ok()) co_return body.status();
  absl::StatusOr<std::string> reversed =
      co_await Offload({.name = "reverse"}, Reverse, *std::move(body));
  if (!reversed.ok()) co_return reversed.status();
  co_return HttpResponse::Text(*std::move(reversed));
}

Task<> Ticks(HttpCall call) {
  IoError error = IoError::kOk;
  for (int i = 0; error == IoError::kOk && !call.leaving(); ++i) {
    const std::string number = absl::StrCat(i);
    error = co_await call.SendEvent({.data = number});
    if (error == IoError::kOk) error = co_await Sleep(absl::Milliseconds(50));
  }
}

Task<> Stream(HttpCall call) {
  const std::string block(16 * 1024, 'y');
  IoError error = IoError::kOk;
  for (int i = 0; i < 64 && error == IoError::kOk; ++i) {
    error = co_await call.Send(block);
  }
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    services.Http("http")
        .Get("/", baton::Hello)
        .Post("/", baton::Echo)
        .Get("/who", baton::Who)
        .Get("/large", baton::Large)
        .Post("/reverse", baton::ReverseOnPool)
        .Get("/ticks", baton::Ticks)
        .Get("/stream", baton::Stream);
  });
}
