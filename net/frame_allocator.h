#ifndef BATON_NET_FRAME_ALLOCATOR_H_
#define BATON_NET_FRAME_ALLOCATOR_H_

#include <cstddef>

namespace baton {

// Memory for coroutine frames: free lists per size, in steps of 16 bytes,
// carved from chunks that are kept. A frame costs its size and nothing more,
// and taking one is a few instructions. One set of lists per thread; a frame is
// freed on the thread that made it. Under AddressSanitizer every frame comes
// from the heap, or the lists would hide a use after free.
void* AllocateFrame(size_t size);
void FreeFrame(void* frame, size_t size) noexcept;

}  // namespace baton

#endif  // BATON_NET_FRAME_ALLOCATOR_H_
