#ifndef BATON_TOOLS_LOADGEN_PATTERN_H_
#define BATON_TOOLS_LOADGEN_PATTERN_H_

// Problem: an echo that counts bytes does not notice a byte that changed, two
// chunks in the wrong order, or an answer that belongs to another connection.
// Checking must cost less than the exchange it checks.
//
// Each message is a window into one fixed table of random bytes, and where the
// window begins is a hash of the connection's number and the message's number
// on it. So a message is sent straight from the table and an answer is checked
// by one memcmp; nothing is generated or kept per message.
//
// Contract
// * The same bytes in every run: a failure can be looked at again.
// * The table repeats after 65,521 bytes, a prime: no lost or doubled piece of
//   a round size goes unseen. A whole message taken for another of the same
//   length is seen unless both begin at the same place, once in 65,521 (and at
//   one byte, once in 256: random bytes are sometimes equal).
// * Immutable after construction, 128 KiB; thread-safe. Views are borrowed.

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace baton::loadgen {

class Pattern {
 public:
  // The longest view At() gives. Not less than the longest datagram.
  static constexpr int64_t kWindowBytes = 65536;

  Pattern();

  // Where the message numbered `sequence` of connection `connection` begins.
  static uint32_t Begin(uint64_t connection, uint64_t sequence);

  // The bytes of the message that begins at `begin`, from its byte `offset` on:
  // `bytes` of them, or kWindowBytes if that is less.
  absl::string_view At(uint32_t begin, int64_t offset, int64_t bytes) const;

  // The position in `bytes` of the first byte that is not the message's, where
  // bytes[0] should be the message's byte `offset`; -1 when all are right.
  int64_t FirstDifference(uint32_t begin, int64_t offset,
                          absl::string_view bytes) const;

 private:
  static constexpr uint32_t kPeriod = 65521;

  // kPeriod bytes, and kWindowBytes more that repeat the first ones, so that
  // every window lies in one piece.
  std::string table_;
};

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_PATTERN_H_
