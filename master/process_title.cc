#include "master/process_title.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "glog/logging.h"

namespace baton {
namespace {

// The memory of arguments and environment, one string behind the other. It is
// the process's, there is one, and only these two functions know of it.
struct Place {
  char* begin = nullptr;
  char* arguments_end = nullptr;  // behind the last argument's NUL
  char* end = nullptr;            // behind the environment's
};

Place& ThePlace() {
  static Place place;
  return place;
}

// Extends [begin, end) over the strings that follow without a gap.
char* EndOfAdjacent(char** strings, char* end) {
  for (; *strings != nullptr && *strings == end; ++strings) {
    end += strlen(*strings) + 1;
  }
  return end;
}

void CopyStrings(char** strings) {
  // They live as long as the process, like what they stand for: also one that
  // is taken out of the environment, and no leak then.
  static auto& copies = *new std::vector<const char*>;
  for (; *strings != nullptr; ++strings) {
    *strings = strdup(*strings);
    CHECK(*strings != nullptr);
    copies.push_back(*strings);
  }
}

}  // namespace

void ProcessTitle::Init(int argc, char** argv) {
  if (argc < 1) return;
  Place& place = ThePlace();
  CHECK(place.begin == nullptr) << "called twice";
  place.begin = argv[0];
  place.arguments_end = EndOfAdjacent(argv, argv[0]);
  place.end = EndOfAdjacent(environ, place.arguments_end);
  CopyStrings(argv);
  CopyStrings(environ);
}

void ProcessTitle::Set(absl::string_view title) {
  const Place& place = ThePlace();
  if (place.begin == nullptr) return;
  const size_t room = static_cast<size_t>(place.end - place.begin);
  const size_t length = std::min(title.size(), room - 1);
  memset(place.begin, 0, room);
  memcpy(place.begin, title.data(), length);
  // If the last byte of the arguments is not NUL, the kernel takes them as
  // overwritten and shows one string, however long: proc(5), cmdline. Without
  // it a short title is followed by as many NULs as there was room.
  char* last = place.arguments_end - 1;
  if (place.begin + length < last) *last = '.';
}

}  // namespace baton
