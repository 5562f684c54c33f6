#ifndef BATON_MASTER_KNOWN_NAMES_H_
#define BATON_MASTER_KNOWN_NAMES_H_

// Problem: a configuration holds names (hosts in addresses, a user, a group)
// that somebody else has to be asked about, who may be slow, of another opinion
// the next time, or gone. A process that supervises others must not wait for
// him; and a configuration that was good must not stop being so.
//
// KnownNames is what was found out for one configuration. A child that may wait
// looks names up and says what they stand for; whoever loads the same
// configuration after that, also as another binary, asks nobody.
//
// Contract: a value. As JSON it is for a handoff (handoff.h); as a line, for
// the pipe of a child that may print other things too. Names may hold any
// bytes. What can't be read is as if it were not there: those names are looked
// up again.

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "master/run_as.h"
#include "net/endpoint.h"
#include "net/listen_url.h"
#include "nlohmann/json.hpp"

namespace baton {

struct KnownNames {
  // Whom --user and --group stand for, both as they are written.
  struct User {
    std::string user;
    std::string group;
    RunAs run_as;

    bool operator==(const User&) const = default;
  };

  // By the address of a URL, "localhost:80".
  std::map<std::string, Endpoint> hosts;
  std::optional<User> user;

  bool operator==(const KnownNames&) const = default;

  nlohmann::json ToJson() const;
  static KnownNames FromJson(const nlohmann::json& json);
};

// As Resolve() in listen_url.h, but what is in `known` is not looked up. What
// the name stands for is noted in `used`.
absl::Status Resolve(const KnownNames& known, ListenUrl& url, KnownNames& used);

// More than that is not passed on, and is looked up again: a line must leave
// room for others in what is read of a child (Trial::kMaxOutputBytes).
inline constexpr size_t kMaxNamesLine = size_t{128} * 1024;

// With its end; empty if it would be too long.
std::string NamesLine(const KnownNames& names);

// Takes all such lines out of what was printed, and reads the first: later ones
// may be by code that has fewer rights.
KnownNames TakeNamesLine(std::string& printed);

}  // namespace baton

#endif  // BATON_MASTER_KNOWN_NAMES_H_
