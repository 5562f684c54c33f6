#ifndef BATON_TESTS_CHAOS_CLIENTS_H_
#define BATON_TESTS_CHAOS_CLIENTS_H_

// Forty clients of all habits, each a thread with one connection at a time (one
// of them with a hundred): it opens another one only if that is its habit or it
// has lost the one before for a reason.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "net/endpoint.h"
#include "tests/chaos_ledger.h"

namespace baton {

// Where the services are. One listener comes and goes with reloads.
class ChaosAddresses {
 public:
  ChaosAddresses(const Endpoint& echo, const Endpoint& tell,
                 const Endpoint& http)
      : echo(echo), tell(tell), http(http) {}

  const Endpoint echo, tell, http;

  void SetExtra(const std::optional<Endpoint>& extra) {
    const std::lock_guard lock(mutex_);
    extra_ = extra;
  }
  std::optional<Endpoint> extra() const {
    const std::lock_guard lock(mutex_);
    return extra_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<Endpoint> extra_;
};

class ChaosClients {
 public:
  ChaosClients(uint64_t seed, ChaosLedger* ledger,
               const ChaosAddresses* addresses);
  ~ChaosClients();
  ChaosClients(const ChaosClients&) = delete;
  ChaosClients& operator=(const ChaosClients&) = delete;

  // Waits so long, or until the clients are to rest.
  void Pause(absl::Duration length) const;
  // Each ends the exchange that it is in, and keeps its connection.
  void Rest();
  // Each makes a last exchange on it, and closes it.
  void Leave();

 private:
  struct Held;
  void Live(size_t index);
  void Set(bool& flag);
  bool ShouldRest() const;

  const uint64_t seed_;
  ChaosLedger* const ledger_;
  const ChaosAddresses* const addresses_;
  mutable std::mutex mutex_;  // of what follows
  mutable std::condition_variable changed_;
  bool rest_ = false, leave_ = false;
  size_t resting_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_CLIENTS_H_
