// The main() of a fuzz target outside of --config=fuzz: it feeds the target
// every file in the folders that its arguments name, and every beginning of
// those files, because an input that breaks off is what parsers get wrong most.
//
// Exit code: 0; 1 when there was no input, for then nothing was tested.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::vector<uint8_t> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void FeedWithEveryBeginning(const std::vector<uint8_t>& seed) {
  for (size_t size = 0; size <= seed.size(); ++size) {
    // A copy of just that size: a sanitizer then sees a read past its end.
    std::vector<uint8_t> input(seed.begin(), seed.begin() + size);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  int seeds = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      FeedWithEveryBeginning(ReadFile(entry.path()));
      ++seeds;
    }
  }
  std::printf("%d seeds\n", seeds);
  return seeds > 0 ? 0 : 1;
}
