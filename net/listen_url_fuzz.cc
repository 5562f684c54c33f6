// Listener URLs come from flags, files and, later, an API. Whatever the bytes:
// parsing ends with a value or with one printable line; what was accepted
// prints canonically, and the canonical text means the same again.

#include <glog/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "net/listen_url.h"

namespace baton {
namespace {

void CheckOneLine(absl::string_view message) {
  for (const char c : message) {
    CHECK(absl::ascii_isprint(static_cast<unsigned char>(c))) << message;
  }
}

void CheckStable(const ListenUrl& first) {
  const std::string canonical = first.ToString();
  const auto second = ParseListenUrl(canonical);
  CHECK(second.ok()) << second.status();
  CHECK_EQ(second->ToString(), canonical);
  CHECK_EQ(second->scheme, first.scheme);
  CHECK(second->transport == first.transport);
  CHECK_EQ(second->address, first.address);
  CHECK(second->endpoint == first.endpoint);
  CHECK_EQ(second->common.backlog, first.common.backlog);
  CHECK_EQ(second->common.defer_accept_s, first.common.defer_accept_s);
  CHECK_EQ(second->common.dual, first.common.dual);
  CHECK(second->common.idle_timeout == first.common.idle_timeout);
  CHECK(second->common.max_connections == first.common.max_connections);
  CHECK(second->options == first.options);
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = baton::ParseListenUrl(text);
  if (parsed.ok()) {
    baton::CheckStable(*parsed);
  } else {
    baton::CheckOneLine(parsed.status().message());
  }
  return 0;
}
