#ifndef BATON_MASTER_VERSION_H_
#define BATON_MASTER_VERSION_H_

#include <string>

namespace baton {

inline constexpr char kVersion[] = "0.1.0";

// "opt, x86_64, Clang 19.1.7": build and compiler.
std::string BuildText();

// "baton 0.1.0 (opt, x86_64, Clang 19.1.7)": version, build and compiler.
std::string VersionText();

}  // namespace baton

#endif  // BATON_MASTER_VERSION_H_
