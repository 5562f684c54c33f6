#ifndef BATON_MASTER_ID_MAPS_H_
#define BATON_MASTER_ID_MAPS_H_

#include <sys/types.h>

#include "absl/strings/string_view.h"

namespace baton {

// Whether this process may become the user, and the group, with that number. In
// a user namespace it may not be mapped, or the supplementary groups can't be
// given up - user_namespaces(7); and a container's root may lack the
// capabilities - capabilities(7).
bool CanBecome(uid_t id);

// Whether `map`, a file like /proc/self/uid_map, has `id` on the inside. Pure.
bool MapsId(absl::string_view map, uid_t id);

}  // namespace baton

#endif  // BATON_MASTER_ID_MAPS_H_
