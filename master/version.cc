#include "master/version.h"

#include "absl/strings/str_cat.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BATON_SANITIZER ", asan"
#elif __has_feature(thread_sanitizer)
#define BATON_SANITIZER ", tsan"
#endif
#endif
#ifndef BATON_SANITIZER
#define BATON_SANITIZER ""
#endif

namespace baton {
namespace {

#ifdef NDEBUG
constexpr char kBuild[] = "opt" BATON_SANITIZER;
#else
constexpr char kBuild[] = "debug" BATON_SANITIZER;
#endif

#if defined(__x86_64__)
constexpr char kMachine[] = "x86_64";
#elif defined(__aarch64__)
constexpr char kMachine[] = "aarch64";
#else
constexpr char kMachine[] = "other machine";
#endif

// clang's __VERSION__ has its name in it, gcc's is the number alone.
#ifdef __clang__
constexpr char kCompiler[] = __VERSION__;
#else
constexpr char kCompiler[] = "gcc " __VERSION__;
#endif

}  // namespace

std::string BuildText() {
  return absl::StrCat(kBuild, ", ", kMachine, ", ", kCompiler);
}

std::string VersionText() {
  return absl::StrCat("baton ", kVersion, " (", BuildText(), ")");
}

}  // namespace baton
