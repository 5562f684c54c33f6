#ifndef BATON_MASTER_CONTROL_PATH_H_
#define BATON_MASTER_CONTROL_PATH_H_

#include <string>

namespace baton {

// Where a server has its control socket and batonctl looks for it, unless told:
// /run/baton/control.sock as root, else baton/control.sock in
// $XDG_RUNTIME_DIR, else nowhere (empty).
std::string DefaultControlPath();

}  // namespace baton

#endif  // BATON_MASTER_CONTROL_PATH_H_
