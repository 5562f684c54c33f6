#include <string>

#include "baton.h"

baton::HttpResponse Hello(const baton::HttpRequest& request) {
  return baton::HttpResponse::Text("Hello, " + request.Param("name") + "\n");
}
std::string Reverse(const std::string& s) { return {s.rbegin(), s.rend()}; }
baton::Task<baton::HttpResponse> ReverseBody(baton::HttpCall call) {
  auto body = co_await call.ReadBody();
  if (!body.ok()) co_return body.status();
  auto text = co_await baton::Offload({.name = "reverse"}, Reverse, *body);
  if (!text.ok()) co_return text.status();
  co_return baton::HttpResponse::Text(*text);
}
baton::Task<> Ticks(baton::HttpCall call) {
  auto sent = co_await call.SendEvent({.data = "tick"});
  while (sent == baton::IoError::kOk && !call.leaving()) {
    sent = co_await baton::Sleep(absl::Seconds(1));
    sent = co_await call.SendEvent({.data = "tick"});
  }
}
int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    services.Http("www")
        .Get("/hello/{name}", Hello)
        .Post("/reverse", ReverseBody)
        .Get("/ticks", Ticks);
  });
}
