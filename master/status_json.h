#ifndef BATON_MASTER_STATUS_JSON_H_
#define BATON_MASTER_STATUS_JSON_H_

#include <string>

#include "master/server_status.h"

namespace baton {

// What /status says. Valid JSON whatever the workers claim. Pure.
std::string StatusJson(const ServerStatus& status);

}  // namespace baton

#endif  // BATON_MASTER_STATUS_JSON_H_
