#include "master/helper_services.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "master/inquiry.h"
#include "master/master_client.h"
#include "master/usable_cpus.h"
#include "net/quote.h"
#include "worker/http/http_call.h"
#include "worker/http/http_response.h"

namespace baton {
namespace {

// A master that is well answers within microseconds.
constexpr absl::Duration kPatience = absl::Seconds(2);

constexpr char kPlain[] = "text/plain; charset=utf-8";
constexpr char kJson[] = "application/json";
// Of Prometheus' exposition format.
constexpr char kMetrics[] = "text/plain; version=0.0.4; charset=utf-8";

HttpResponse ResponseOf(Answer answer, const char* type) {
  HttpResponse response = HttpResponse::Text(std::move(answer.text));
  response.Status(answer.status).Header("Cache-Control", "no-store");
  // Errors are for people.
  response.ContentType(answer.status == 200 ? type : kPlain);
  if (answer.status == 503) response.Header("Retry-After", "1");
  return response;
}

Task<HttpResponse> Look(Question question, const char* type) {
  Answer answer = co_await MasterClient::Current().Ask(question, 0, kPatience);
  co_return ResponseOf(std::move(answer), type);
}

Task<HttpResponse> Healthz(HttpCall /*call*/) {
  return Look(Question::kHealth, kPlain);
}
Task<HttpResponse> Readyz(HttpCall /*call*/) {
  return Look(Question::kReadiness, kPlain);
}
Task<HttpResponse> Status(HttpCall /*call*/) {
  return Look(Question::kStatus, kJson);
}
Task<HttpResponse> Metrics(HttpCall /*call*/) {
  return Look(Question::kMetrics, kMetrics);
}

HttpResponse Index(const HttpRequest& /*request*/) {
  return HttpResponse::Text(
      "baton\n\n"
      "/healthz   200 while a worker serves\n"
      "/readyz    200 while every slot is served and the server does not stop\n"
      "/status    all workers, as JSON\n"
      "/metrics   for Prometheus\n");
}

// The socket's mode keeps others out already; whoever changes it does not
// thereby give commands away.
bool MayCommand(const Connection& connection) {
  const std::optional<uid_t> uid = connection.peer_uid();
  return uid.has_value() &&
         (*uid == 0 || *uid == MasterClient::Current().master_uid());
}

Task<HttpResponse> Command(HttpCall call, Question question,
                           uint32_t argument) {
  if (!MayCommand(call.request().connection())) {
    co_return absl::PermissionDeniedError(
        "commands are for root and the user of the server");
  }
  // As long as it takes: a reload ends by time-outs of its own.
  Answer answer = co_await MasterClient::Current().Ask(
      question, argument, absl::InfiniteDuration());
  co_return ResponseOf(std::move(answer), kPlain);
}

Task<HttpResponse> Reload(HttpCall call) {
  return Command(call, Question::kReload, 0);
}
Task<HttpResponse> Upgrade(HttpCall call) {
  return Command(call, Question::kUpgrade, 0);
}
Task<HttpResponse> Stop(HttpCall call) {
  return Command(call, Question::kStop, 0);
}

Task<HttpResponse> Scale(HttpCall call) {
  const std::string text = call.request().Query("workers").value_or("");
  uint32_t workers = 0;
  if (!absl::SimpleAtoi(text, &workers) || workers < 1 ||
      workers > kMaxWorkers) {
    co_return absl::InvalidArgumentError(absl::StrCat(
        "workers=", Quote(text), ": must be a number from 1 to ", kMaxWorkers));
  }
  HttpResponse response = co_await Command(call, Question::kScale, workers);
  co_return std::move(response);
}

}  // namespace

const char* HelperName(HelperKind kind) {
  return kind == HelperKind::kAdmin ? "admin" : "control";
}

void RegisterHelperServices(HelperKind kind, Services& services) {
  services.OnWorkerStart([] { return MasterClient::Current().Start(); });
  HttpService& http = services.Http("http");
  http.Get("/", Index)
      .Get("/healthz", Healthz)
      .Get("/readyz", Readyz)
      .Get("/status", Status)
      .Get("/metrics", Metrics);
  if (kind == HelperKind::kControl) {
    http.Post("/reload", Reload)
        .Post("/upgrade", Upgrade)
        .Post("/scale", Scale)
        .Post("/stop", Stop);
  }
}

}  // namespace baton
