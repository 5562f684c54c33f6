#include "tools/loadgen/pattern.h"

#include <algorithm>
#include <cstring>

namespace baton::loadgen {
namespace {

// The finalizer and increment of SplitMix64 (Steele, Lea, Flood: "Fast
// splittable pseudorandom number generators", OOPSLA 2014).
constexpr uint64_t kIncrement = 0x9e3779b97f4a7c15;

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Pattern::Pattern() : table_(kPeriod + kWindowBytes, '\0') {
  uint64_t state = 0;
  for (uint32_t i = 0; i < kPeriod; ++i) {
    state += kIncrement;
    table_[i] = static_cast<char>(Mix(state) >> 56);
  }
  for (size_t i = kPeriod; i < table_.size(); ++i) {
    table_[i] = table_[i - kPeriod];
  }
}

uint32_t Pattern::Begin(uint64_t connection, uint64_t sequence) {
  return Mix(Mix(connection + kIncrement) + sequence) % kPeriod;
}

absl::string_view Pattern::At(uint32_t begin, int64_t offset,
                              int64_t bytes) const {
  const uint64_t position = (begin + static_cast<uint64_t>(offset)) % kPeriod;
  return absl::string_view(table_).substr(position,
                                          std::min(bytes, kWindowBytes));
}

int64_t Pattern::FirstDifference(uint32_t begin, int64_t offset,
                                 absl::string_view bytes) const {
  const int64_t size = static_cast<int64_t>(bytes.size());
  for (int64_t done = 0; done < size;) {
    const absl::string_view wanted = At(begin, offset + done, size - done);
    const absl::string_view got = bytes.substr(done, wanted.size());
    if (std::memcmp(wanted.data(), got.data(), wanted.size()) != 0) {
      const auto at = std::mismatch(wanted.begin(), wanted.end(), got.begin());
      return done + (at.first - wanted.begin());
    }
    done += static_cast<int64_t>(wanted.size());
  }
  return -1;
}

}  // namespace baton::loadgen
