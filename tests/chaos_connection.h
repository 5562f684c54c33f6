#ifndef BATON_TESTS_CHAOS_CONNECTION_H_
#define BATON_TESTS_CHAOS_CONNECTION_H_

// A client's connection that believes nothing: each byte is the one that has to
// come, within kChaosPatience, and an end is one that the ledger can explain.
//
// Every call returns false as soon as the connection is lost or a failure is
// noted; it is of no use then. For one thread.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "tests/chaos_ledger.h"

namespace baton {

// How long anything may take: a worker may be stopped for three seconds, and
// the machine may be slow, but nobody is forgotten.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BATON_CHAOS_SLOW 1
#endif
#endif
#ifdef BATON_CHAOS_SLOW
inline constexpr absl::Duration kChaosPatience = absl::Seconds(60);
#else
inline constexpr absl::Duration kChaosPatience = absl::Seconds(20);
#endif

class ChaosConnection {
 public:
  // `whose`: for reports. A small `receive_buffer` (0: the kernel's) lets the
  // server feel that its peer is slow.
  ChaosConnection(ChaosLedger* ledger, const Endpoint& server,
                  std::string whose, int receive_buffer = 0);

  bool ok() const { return ok_; }
  bool Send(absl::string_view bytes);
  // These bytes and no others. Afterwards there may be more.
  bool Expect(absl::string_view bytes);
  // Up to a line end, which is left out.
  bool ReadLine(std::string* line);
  // Up to `size` bytes, at least one.
  bool ReadSome(size_t size, std::string* bytes);
  // Nothing has come that was not asked for.
  bool ExpectNothing();

  // A worker has answered. Counts, and remembers who it was; 0: it did not say.
  void Answered(pid_t by);
  // What came is not what should have.
  bool Wrong(const std::string& what);

 private:
  void Connect(const Endpoint& server, int receive_buffer);
  bool Wait(int16_t events, const char* what);
  bool Fill();
  bool End(int error);
  bool Fail(const std::string& what);

  ChaosLedger* const ledger_;
  const std::string whose_;
  absl::Duration opened_;
  UniqueFd fd_;
  ConnectionKey key_;
  bool ok_ = true;
  std::string buffer_;
  pid_t answered_by_ = 0;
  int answers_ = 0;
};

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_CONNECTION_H_
