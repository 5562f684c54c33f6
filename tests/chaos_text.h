#ifndef BATON_TESTS_CHAOS_TEXT_H_
#define BATON_TESTS_CHAOS_TEXT_H_

// What tests/chaos_server.cc answers, so that a client can check every byte.

#include <cstddef>
#include <cstdint>
#include <string>

namespace baton {

// Another one for each number, without a line end in it.
inline std::string ChaosText(uint64_t number, size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>('a' + (number * 31 + i * 7 + i / 251) % 26);
  }
  return text;
}

// So that two orders of the same bytes differ.
inline uint64_t ChaosSum(uint64_t sum, const char* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    sum = (sum ^ static_cast<unsigned char>(bytes[i])) * 1'099'511'628'211u;
  }
  return sum;
}

// What a worker of a crashing configuration ends with.
inline constexpr int kChaosCrashCode = 70;

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_TEXT_H_
