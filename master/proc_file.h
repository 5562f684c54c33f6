#ifndef BATON_MASTER_PROC_FILE_H_
#define BATON_MASTER_PROC_FILE_H_

#include <fstream>
#include <iterator>
#include <string>

namespace baton {

// A small file of the kernel's; empty if it can't be read.
inline std::string ReadProcFile(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace baton

#endif  // BATON_MASTER_PROC_FILE_H_
