#ifndef BATON_TESTS_CHAOS_HTTP_H_
#define BATON_TESTS_CHAOS_HTTP_H_

// HTTP/1.1 as the strict clients speak it with tests/chaos_server.cc: a head is
// the one that has to come, field by field, and nothing else.

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tests/chaos_connection.h"

namespace baton {

std::string ChaosGet(absl::string_view target);
// The head of a request with a body of that size.
std::string ChaosPostHead(absl::string_view target, size_t size);

// A whole response with this body. `between` is called now and then while it is
// read: a slow reader waits there.
bool ExpectHttp(
    ChaosConnection& conn, absl::string_view body,
    absl::FunctionRef<void()> between = [] {});
// The same, in chunks.
bool ExpectChunkedHttp(ChaosConnection& conn, absl::string_view body);

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_HTTP_H_
