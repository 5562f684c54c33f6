#include "net/buffer_pool.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(BufferPool, GivesAtLeastWhatWasAskedFor) {
  BufferPool pool;
  for (size_t size : {size_t{1}, size_t{500}, size_t{4096}, size_t{1} << 20}) {
    BufferPtr buffer = pool.Take(size);
    ASSERT_NE(buffer, nullptr);
    EXPECT_GE(buffer->capacity, size);
    EXPECT_EQ(buffer->bytes(), "");
    memset(buffer->data(), 'x', buffer->capacity);
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(BufferPool, ReusesWhatCameBack) {
  BufferPool pool;
  BufferPtr buffer = pool.Take(900);
  Buffer* const first = buffer.get();
  buffer.reset();
  EXPECT_GT(pool.bytes_kept(), 0u);
  EXPECT_EQ(pool.Take(800).get(), first);
}

TEST(BufferPool, RefusesBeyondItsBound) {
  Counter refused;
  BufferPool pool(4096, &refused);
  BufferPtr one = pool.Take(1500);
  BufferPtr two = pool.Take(1500);
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(pool.Take(1), nullptr);
  EXPECT_EQ(pool.Take(size_t{1} << 40), nullptr);
  EXPECT_EQ(refused.value(), 2u);
  one.reset();
  EXPECT_NE(pool.Take(1500), nullptr);
}

TEST(BufferPool, CountsWhatOthersAllocateAgainstItsBound) {
  Counter refused;
  BufferPool pool(4096, &refused);
  {
    BufferReservation body(pool);
    EXPECT_TRUE(body.GrowTo(3000));
    EXPECT_TRUE(body.GrowTo(2000));
    EXPECT_EQ(pool.bytes_in_use(), 3000u);
    EXPECT_EQ(pool.Take(1500), nullptr);
    EXPECT_FALSE(body.GrowTo(4097));
    EXPECT_FALSE(body.GrowTo(SIZE_MAX));
    EXPECT_EQ(refused.value(), 3u);
    EXPECT_TRUE(body.GrowTo(4096));
  }
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(BufferPool, KeepsNoMoreThanItsBound) {
  BufferPool pool;
  std::vector<BufferPtr> buffers;
  for (int i = 0; i < 200; ++i) buffers.push_back(pool.Take(100'000));
  buffers.clear();
  EXPECT_LE(pool.bytes_kept(), BufferPool::kMaxKeptBytes);
}

}  // namespace
}  // namespace baton
