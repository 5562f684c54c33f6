// For servers of tests: a resolver that runs dry.
//
// The name scarce.invalid stands for 127.0.0.1 as long as there is the file
// that $SCARCE_NAMES names, and each look-up takes it away: so whoever writes
// it once allows one. It stands before the C library's by the linker's --wrap.

#include <netdb.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/string_view.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's
extern "C" {

int __real_getaddrinfo(const char* node, const char* service,
                       const addrinfo* hints, addrinfo** result);

int __wrap_getaddrinfo(const char* node, const char* service,
                       const addrinfo* hints, addrinfo** result) {
  if (node == nullptr || absl::string_view(node) != "scarce.invalid") {
    return __real_getaddrinfo(node, service, hints, result);
  }
  const char* file = getenv("SCARCE_NAMES");
  if (file == nullptr || unlink(file) != 0) return EAI_NONAME;
  return __real_getaddrinfo("127.0.0.1", service, hints, result);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
