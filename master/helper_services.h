#ifndef BATON_MASTER_HELPER_SERVICES_H_
#define BATON_MASTER_HELPER_SERVICES_H_

#include "worker/services.h"

namespace baton {

// The two children that speak for the master (helpers.h).
enum class HelperKind : uint8_t {
  kAdmin,    // reads, for anybody who can reach it
  kControl,  // on a unix socket: commands too, for root and the master's user
};

// "admin", "control".
const char* HelperName(HelperKind kind);

// What such a child serves under the scheme http; it needs a MasterClient.
void RegisterHelperServices(HelperKind kind, Services& services);

}  // namespace baton

#endif  // BATON_MASTER_HELPER_SERVICES_H_
