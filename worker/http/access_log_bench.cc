// What an access log costs a worker without the kernel: a request through the
// connection's code with and without one, and a line.

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "net/event_loop.h"
#include "net/listen_url.h"
#include "net/testing/pair.h"
#include "worker/http/access_line.h"
#include "worker/http/access_log.h"
#include "worker/http/http_connection.h"
#include "worker/http/testing/http_tester.h"
#include "worker/log_writer.h"

namespace baton {
namespace {

constexpr absl::string_view kRequest =
    "GET /hello/world?from=there HTTP/1.1\r\nHost: www.example.org\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 "
    "Firefox/140.0\r\nAccept: text/html,application/xhtml+xml\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://www.example.org/start\r\n\r\n";

HttpResponse Hello(const HttpRequest& /*request*/) {
  return HttpResponse::Text("Hello, World!");
}

void Serve(benchmark::State& state, absl::string_view options) {
  HttpService service;
  service.Get("/hello/{name}", Hello);
  testing::HttpTester tester(service);
  AccessLogs logs(EventLoop::Current(), tester.worker().counters());
  logs.Get("/dev/null").Open(OpenLog("/dev/null").value());
  tester.worker().SetAccessLogs(&logs);
  const ListenUrl url =
      ParseListenUrl(absl::StrCat("http://127.0.0.1:0", options)).value();
  testing::Pair pair(ServeHttp, &tester.clock(),
                     {.service_data = MakeHttpListener(service, url).value()});
  for (auto _ : state) {
    pair.Send(kRequest);
    benchmark::DoNotOptimize(pair.Received());
  }
}

void BM_Off(benchmark::State& state) { Serve(state, ""); }
void BM_Combined(benchmark::State& state) {
  Serve(state, "?access_log=/dev/null");
}
void BM_Json(benchmark::State& state) {
  Serve(state, "?access_log=/dev/null&access_format=json");
}
BENCHMARK(BM_Off);
BENCHMARK(BM_Combined);
BENCHMARK(BM_Json);

void Line(benchmark::State& state, AccessFormat format) {
  AccessRecord record;
  record.client = "192.0.2.7";
  record.method = "GET";
  record.target = "/hello/world?from=there";
  record.host = "www.example.org";
  record.referer = "https://www.example.org/start";
  record.user_agent =
      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
  record.minor_version = 1;
  record.status = 200;
  record.bytes = 13;
  AccessDate date;
  std::string line(kMaxAccessLineBytes, '\0');
  for (auto _ : state) {
    benchmark::DoNotOptimize(FormatAccessLine(
        format, record, {.tv_sec = 1, .tv_nsec = 0}, date, line.data()));
  }
}

void BM_CombinedLine(benchmark::State& state) {
  Line(state, AccessFormat::kCombined);
}
void BM_JsonLine(benchmark::State& state) { Line(state, AccessFormat::kJson); }
BENCHMARK(BM_CombinedLine);
BENCHMARK(BM_JsonLine);

}  // namespace
}  // namespace baton
