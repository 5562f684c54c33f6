#include "net/frame_allocator.h"

#include <array>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define BATON_FRAMES_FROM_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BATON_FRAMES_FROM_HEAP 1
#endif
#endif

namespace baton {
#ifdef BATON_FRAMES_FROM_HEAP

void* AllocateFrame(size_t size) { return ::operator new(size); }
void FreeFrame(void* frame, size_t size) noexcept {
  ::operator delete(frame, size);
}

#else
namespace {

constexpr size_t kStep = 16;
constexpr size_t kLargest =
    2048;  // larger frames are rare and come from the heap
constexpr size_t kChunk = size_t{64} * 1024;

struct FreeNode {
  FreeNode* next;
};

struct FrameLists {
  std::array<FreeNode*, kLargest / kStep + 1> free;
  std::byte* unused;
  size_t unused_size;
};

// Constant-initialised, so that reaching it costs no guard. Chunks belong to
// the thread until the process ends: a thread that runs an event loop is the
// worker's only one.
constinit thread_local FrameLists lists{};

void* Carve(size_t size) {
  if (lists.unused_size < size) {
    // What is left of the old chunk is less than one frame of this size: not
    // worth keeping.
    lists.unused = static_cast<std::byte*>(::operator new(kChunk));
    lists.unused_size = kChunk;
  }
  void* frame = lists.unused;
  lists.unused += size;
  lists.unused_size -= size;
  return frame;
}

}  // namespace

void* AllocateFrame(size_t size) {
  const size_t bin = (size + kStep - 1) / kStep;
  if (bin >= lists.free.size()) return ::operator new(size);
  FreeNode* node = lists.free[bin];
  if (node == nullptr) return Carve(bin * kStep);
  lists.free[bin] = node->next;
  return node;
}

void FreeFrame(void* frame, size_t size) noexcept {
  const size_t bin = (size + kStep - 1) / kStep;
  if (bin >= lists.free.size()) return ::operator delete(frame, size);
  lists.free[bin] = new (frame) FreeNode{lists.free[bin]};
}

#endif
}  // namespace baton
