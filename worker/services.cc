#include "worker/services.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "glog/logging.h"
#include "net/quote.h"
#include "worker/http/file_options.h"
#include "worker/http/file_sender.h"
#include "worker/http/http_connection.h"

namespace baton {

namespace {

absl::Status AnyValue(absl::string_view /*value*/) { return absl::OkStatus(); }

}  // namespace

StreamService& StreamService::AddOption(absl::string_view name, Option option) {
  CHECK(options_.emplace(std::string(name), option).second)
      << "option " << name << " is registered twice";
  return *this;
}

StreamService& StreamService::WithOption(absl::string_view name,
                                         OptionCheck check) {
  return AddOption(name, {.check = check, .may_repeat = false});
}

StreamService& StreamService::WithOption(absl::string_view name) {
  return AddOption(name, {.check = AnyValue, .may_repeat = false});
}

StreamService& StreamService::WithRepeatedOption(absl::string_view name) {
  return AddOption(name, {.check = AnyValue, .may_repeat = true});
}

StreamService& StreamService::WithListenerData(ListenerDataMaker make) {
  make_listener_data_ = std::move(make);
  return *this;
}

HttpService& Services::Http(absl::string_view scheme) {
  HttpService& http =
      *http_services_.emplace_back(std::make_unique<HttpService>());
  StreamService& stream = Stream(scheme, ServeHttp).WithState<HttpRest>();
  stream.is_http_ = true;
  for (absl::string_view option : kHttpListenerOptions) {
    stream.WithOption(option);
  }
  for (absl::string_view option : kFileOptions) stream.WithOption(option);
  for (absl::string_view option : kRepeatedFileOptions) {
    stream.WithRepeatedOption(option);
  }
  stream.WithListenerData([&http](const ListenUrl& url)
                              -> absl::StatusOr<std::shared_ptr<const void>> {
    return MakeHttpListener(http, url);
  });
  return http;
}

StreamService& Services::Stream(absl::string_view scheme,
                                StreamHandler handler) {
  auto [it, added] = streams_.try_emplace(std::string(scheme));
  CHECK(added) << "stream service " << scheme << " is registered twice";
  it->second.handler_ = handler;
  return it->second;
}

void Services::Datagram(absl::string_view scheme, DatagramHandler handler) {
  CHECK(datagrams_.emplace(std::string(scheme), handler).second)
      << "datagram service " << scheme << " is registered twice";
}

void Services::OnWorkerStart(absl::Status (*callback)()) {
  start_.push_back(callback);
}
void Services::OnWorkerStop(void (*callback)()) { stop_.push_back(callback); }

std::vector<std::string> Services::Schemes() const {
  std::set<std::string> schemes;
  for (const auto& [scheme, service] : streams_) schemes.insert(scheme);
  for (const auto& [scheme, handler] : datagrams_) schemes.insert(scheme);
  return {schemes.begin(), schemes.end()};
}

absl::Status StreamService::CheckOptions(const ListenUrl& url) const {
  absl::string_view last;
  for (const auto& [name, value] : url.options) {
    const auto option = options_.find(name);
    if (option == options_.end()) {
      std::vector<absl::string_view> known;
      known.reserve(options_.size());
      for (const auto& [known_name, unused] : options_) {
        known.push_back(known_name);
      }
      return absl::InvalidArgumentError(absl::StrCat(
          "service ", url.scheme, " has no option ", Quote(name), "; ",
          known.empty()
              ? ""
              : absl::StrCat("it has ", absl::StrJoin(known, ", "), "; "),
          "every ", TransportName(url.transport), " listener has ",
          CommonOptionNames(url.transport)));
    }
    if (name == last && !option->second.may_repeat) {
      return absl::InvalidArgumentError(
          absl::StrCat("option ", Quote(name), " stands there twice"));
    }
    last = name;
    if (absl::Status status = option->second.check(value); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, "=", Quote(value), ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status Services::Check(const ListenUrl& url) const {
  const StreamService* stream = FindStream(url.scheme);
  const DatagramHandler datagram = FindDatagram(url.scheme);
  if (stream == nullptr && datagram == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no service ", Quote(url.scheme),
                     "; there is: ", absl::StrJoin(Schemes(), ", ")));
  }
  const bool udp = url.transport == ListenUrl::Transport::kUdp;
  if (udp ? datagram == nullptr : stream == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "service ", url.scheme, " has no ", TransportName(url.transport),
        " transport; it has: ", udp ? "tcp, unix" : "udp"));
  }
  const StreamService no_options;
  if (absl::Status status = (udp ? no_options : *stream).CheckOptions(url);
      !status.ok()) {
    return status;
  }
  return MakeListenerData(url).status();
}

absl::StatusOr<std::shared_ptr<const void>> Services::MakeListenerData(
    const ListenUrl& url) const {
  const StreamService* stream = FindStream(url.scheme);
  if (url.transport == ListenUrl::Transport::kUdp || stream == nullptr ||
      stream->make_listener_data_ == nullptr) {
    return nullptr;
  }
  return stream->make_listener_data_(url);
}

AccessOptions Services::AccessOptionsFor(const ListenUrl& url) const {
  const StreamService* stream = FindStream(url.scheme);
  const bool is_http = stream != nullptr && stream->is_http_ &&
                       url.transport != ListenUrl::Transport::kUdp;
  return is_http ? AccessOptionsOf(url) : AccessOptions();
}

absl::Status Services::CheckTogether(absl::Span<const ListenUrl> urls) const {
  std::map<std::string, AccessFormat> formats;
  for (const ListenUrl& url : urls) {
    const AccessOptions access = AccessOptionsFor(url);
    if (!access.wanted()) continue;
    const auto [it, added] = formats.emplace(access.path, access.format);
    if (it->second == access.format) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kAccessLogOption, "=", Quote(access.path),
                     " has two formats: give all listeners that write to it "
                     "the same ",
                     kAccessFormatOption));
  }
  return absl::OkStatus();
}

std::set<std::string> Services::AccessLogs(
    absl::Span<const ListenUrl> urls) const {
  std::set<std::string> paths;
  for (const ListenUrl& url : urls) {
    AccessOptions access = AccessOptionsFor(url);
    if (access.wanted()) paths.insert(std::move(access.path));
  }
  return paths;
}

const StreamService* Services::FindStream(absl::string_view scheme) const {
  const auto it = streams_.find(scheme);
  return it == streams_.end() ? nullptr : &it->second;
}

DatagramHandler Services::FindDatagram(absl::string_view scheme) const {
  const auto it = datagrams_.find(scheme);
  return it == datagrams_.end() ? nullptr : it->second;
}

absl::Status Services::RunWorkerStart() const {
  for (const auto callback : start_) {
    if (absl::Status status = callback(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

void Services::RunWorkerStop() const {
  for (const auto callback : stop_) callback();
}

}  // namespace baton
