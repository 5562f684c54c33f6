#ifndef BATON_WORKER_SERVICES_H_
#define BATON_WORKER_SERVICES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/connection.h"
#include "net/connection_state.h"
#include "net/datagram_socket.h"
#include "net/listen_url.h"
#include "net/task.h"
#include "worker/http/access_options.h"
#include "worker/http/http_service.h"

namespace baton {

// What a server can do: services by the scheme of a listener's URL. An
// application fills the registry once, before the first worker is forked;
// afterwards it is only read, by the master and by every worker.
//
//   services.Stream("login", Login).WithState<Session>().WithOption("realm",
//   CheckRealm);
//
// Registering a scheme twice for the same kind of transport is a bug and
// CHECKs.

// A captureless function: each connection is one call, and what it needs is in
// its parameters.
using StreamHandler = Task<> (*)(Connection);

// Called for each datagram; `peer` takes any number of answers.
using DatagramHandler = void (*)(absl::string_view bytes, DatagramPeer& peer);

// Checks the value of an option, for --check and before a worker is ready.
// Errors say what is allowed.
using OptionCheck = absl::Status (*)(absl::string_view value);

// Makes what a listener's connections share, from its options:
// Connection::service_data. Called for --check too.
using ListenerDataMaker =
    std::function<absl::StatusOr<std::shared_ptr<const void>>(
        const ListenUrl&)>;

class StreamService {
 public:
  // Its connections remember a T from one message to the next
  // (net/connection_state.h).
  template <typename T>
  StreamService& WithState() {
    state_codec_ = TypedStateCodec<T>::Get();
    return *this;
  }
  // An option of its listeners: `scheme://address?name=value`.
  StreamService& WithOption(absl::string_view name, OptionCheck check);

  // The same without a check of its own: `WithListenerData` is one.
  StreamService& WithOption(absl::string_view name);
  // One that may stand there more than once.
  StreamService& WithRepeatedOption(absl::string_view name);
  StreamService& WithListenerData(ListenerDataMaker make);

  StreamHandler handler() const { return handler_; }
  const StateCodec* state_codec() const { return state_codec_; }

 private:
  friend class Services;
  StreamHandler handler_ = nullptr;
  bool is_http_ = false;
  const StateCodec* state_codec_ = nullptr;
  struct Option {
    OptionCheck check;
    bool may_repeat;
  };
  StreamService& AddOption(absl::string_view name, Option option);
  absl::Status CheckOptions(const ListenUrl& url) const;

  std::map<std::string, Option, std::less<>> options_;
  ListenerDataMaker make_listener_data_;
};

class Services {
 public:
  Services() = default;
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  // On TCP and unix listeners.
  StreamService& Stream(absl::string_view scheme, StreamHandler handler);
  // HTTP on TCP and unix listeners: routes are added to what is returned.
  HttpService& Http(absl::string_view scheme);
  // On UDP listeners.
  void Datagram(absl::string_view scheme, DatagramHandler handler);

  // Run in each worker, in the order of registration: before it is ready (an
  // error: the worker has failed), and after its last connection has ended. And
  // one behind the other in a process that serves nobody, for --check and
  // before a reload (an error: it is rejected); there no job pool is.
  void OnWorkerStart(absl::Status (*callback)());
  void OnWorkerStop(void (*callback)());

  // Whether `url` names a service, on a transport it has, with options it
  // takes. The error names what is wrong and what there is.
  absl::Status Check(const ListenUrl& url) const;
  // For a `url` that is checked; null if the service has no use for it.
  absl::StatusOr<std::shared_ptr<const void>> MakeListenerData(
      const ListenUrl& url) const;
  // Whether these, which are checked, can be listened on together. The error
  // names what is in the way.
  absl::Status CheckTogether(absl::Span<const ListenUrl> urls) const;
  // The paths of the access logs that they have; kAccessLogStderr may be one.
  std::set<std::string> AccessLogs(absl::Span<const ListenUrl> urls) const;
  // Sorted.
  std::vector<std::string> Schemes() const;

  // For the worker. Null if there is none.
  const StreamService* FindStream(absl::string_view scheme) const;
  DatagramHandler FindDatagram(absl::string_view scheme) const;
  absl::Status RunWorkerStart() const;
  void RunWorkerStop() const;

 private:
  // Of a service that is none of HTTP: none.
  AccessOptions AccessOptionsFor(const ListenUrl& url) const;

  std::map<std::string, StreamService, std::less<>> streams_;
  std::vector<std::unique_ptr<HttpService>> http_services_;
  std::map<std::string, DatagramHandler, std::less<>> datagrams_;
  std::vector<absl::Status (*)()> start_;
  std::vector<void (*)()> stop_;
};

// echo and discard, on streams and datagrams, and http.
void RegisterBuiltinServices(Services& services);

}  // namespace baton

#endif  // BATON_WORKER_SERVICES_H_
