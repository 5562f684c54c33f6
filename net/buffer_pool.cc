#include "net/buffer_pool.h"

#include <bit>
#include <limits>
#include <new>

#include "glog/logging.h"

namespace baton {

void BufferReturn::operator()(Buffer* buffer) const {
  buffer->pool->Give(buffer);
}

BufferPool::~BufferPool() {
  CHECK_EQ(bytes_in_use_, 0u) << "a buffer outlives its pool";
  for (Buffer* list : kept_) {
    while (list != nullptr) {
      Buffer* next = list->next;
      ::operator delete(list);
      list = next;
    }
  }
}

BufferPtr BufferPool::Take(size_t size) {
  const size_t total =
      size > std::numeric_limits<uint32_t>::max() / 2
          ? std::numeric_limits<size_t>::max()
          : std::max(kSmallest, std::bit_ceil(size + sizeof(Buffer)));
  if (!MayTake(total)) return nullptr;
  const auto size_class = static_cast<uint32_t>(std::countr_zero(total) -
                                                std::countr_zero(kSmallest));
  Buffer* buffer;
  if (size_class < kClasses && kept_[size_class] != nullptr) {
    buffer = kept_[size_class];
    kept_[size_class] = buffer->next;
    bytes_kept_ -= total;
  } else {
    buffer = new (::operator new(total)) Buffer;
    buffer->pool = this;
    buffer->capacity = static_cast<uint32_t>(total - sizeof(Buffer));
    buffer->size_class = size_class;
  }
  buffer->begin = buffer->end = 0;
  bytes_in_use_ += total;
  return BufferPtr(buffer);
}

bool BufferPool::MayTake(size_t bytes) {
  if (bytes <= max_bytes_ - bytes_in_use_) return true;
  if (refused_ != nullptr) refused_->Add(1);
  return false;
}

bool BufferReservation::GrowTo(size_t bytes) {
  if (bytes <= size_) return true;
  if (!pool_.MayTake(bytes - size_)) return false;
  pool_.bytes_in_use_ += bytes - size_;
  size_ = bytes;
  return true;
}

void BufferPool::Give(Buffer* buffer) {
  const size_t total = buffer->capacity + sizeof(Buffer);
  bytes_in_use_ -= total;
  if (buffer->size_class >= kClasses || bytes_kept_ + total > kMaxKeptBytes) {
    ::operator delete(buffer);
    return;
  }
  bytes_kept_ += total;
  buffer->next = kept_[buffer->size_class];
  kept_[buffer->size_class] = buffer;
}

}  // namespace baton
