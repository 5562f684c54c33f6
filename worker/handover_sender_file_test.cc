// Connections that leave in the middle of a file.

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/fd_channel.h"
#include "net/unique_fd.h"
#include "worker/handover_messages.h"
#include "worker/handover_sender.h"
#include "worker/handover_sender_fixture.h"

namespace baton {
namespace {

// More than a socket takes.
constexpr int64_t kFileBytes = 1'000'000;

// A line is a request for a file of zeros.
Task<> SendZeros(Connection conn) {
  const UniqueFd file(memfd_create("zeros", MFD_CLOEXEC));
  PCHECK(ftruncate(file.get(), kFileBytes) == 0);
  IoError error = IoError::kOk;
  while (error == IoError::kOk) {
    const ReadResult line = co_await conn.ReadUntil("\n", 100, {.idle = true});
    if (!line) break;
    error =
        co_await conn.WriteFile(file.get(), 0, kFileBytes, {.movable = true});
  }
}

class HandoverSenderFileTest : public HandoverSenderTest {
 protected:
  // All of them are in the middle of a file.
  void ServeFiles(size_t count, StreamHandler handler = SendZeros,
                  const StateCodec* codec = nullptr) {
    const size_t before = clients_.size();
    Serve(count, std::move(handler), codec);
    for (size_t i = before; i < clients_.size(); ++i)
      PCHECK(write(clients_[i].get(), "\n", 1) == 1);
    Settle();
  }
  size_t Hear(const UniqueFd& client) {
    std::string bytes(kFileBytes + 1, ' ');
    size_t heard = 0;
    while (true) {
      const ssize_t part = read(client.get(), bytes.data(), bytes.size());
      if (part <= 0) return heard;
      heard += static_cast<size_t>(part);
      Settle();
    }
  }
};

TEST_F(HandoverSenderFileTest, GoInBatchesOfTheirOwn) {
  Serve(2);
  ServeFiles(2);
  Serve(2);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  std::optional<Batch> batch = Take(channel);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->size(), 4u);
  EXPECT_EQ(batch->header.oldest_reader, 1);
  AnswerAll(channel, *batch, kTaken);
  EXPECT_EQ(log_.passed, 0);
  batch = Take(channel);
  ASSERT_TRUE(batch.has_value());
  ASSERT_EQ(batch->size(), 2u);
  EXPECT_EQ(batch->header.oldest_reader, 2);
  for (size_t i = 0; i < 2; ++i) {
    const std::optional<FileRest>& rest = batch->connections[i].image.file;
    ASSERT_TRUE(rest.has_value());
    EXPECT_EQ(Hear(clients_[2 + i]), rest->offset);
    EXPECT_EQ(rest->offset + rest->size, uint64_t{kFileBytes});
    PCHECK(write(batch->fds[2 * i].get(), "x", 1) == 1);
    char byte = ' ';
    PCHECK(read(clients_[2 + i].get(), &byte, 1) == 1);
    EXPECT_EQ(byte, 'x') << "in the order of places";
    struct stat file{};
    PCHECK(fstat(batch->fds[2 * i + 1].get(), &file) == 0);
    EXPECT_EQ(file.st_size, kFileBytes);
  }
  AnswerAll(channel, *batch, kTaken);
  EXPECT_EQ(log_.passed, 1);
  EXPECT_EQ(handed_over(), 6u);
  EXPECT_EQ(scope_.live(), 0u);
}

TEST_F(HandoverSenderFileTest, HaveTwoDescriptorsEach) {
  ServeFiles(FdChannel::kMaxFds / 2 + 3);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  for (const size_t expected : {FdChannel::kMaxFds / 2, size_t{3}}) {
    const std::optional<Batch> batch = Take(channel);
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->size(), expected);
    AnswerAll(channel, *batch, kTaken);
  }
  EXPECT_EQ(log_.passed, 1);
}

// An older build does so.
TEST_F(HandoverSenderFileTest, ThatAreRefusedAreSentHereAndGoWithoutIt) {
  ServeFiles(1);
  Serve(1);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  std::optional<Batch> batch = Take(channel);
  ASSERT_TRUE(batch.has_value() && batch->connections[0].image.file);
  AnswerAll(channel, *batch, kRefused);
  batch = Take(channel);
  ASSERT_TRUE(batch.has_value());
  EXPECT_FALSE(batch->connections[0].image.file);
  AnswerAll(channel, *batch, kTaken);
  EXPECT_EQ(log_.passed, 1);
  EXPECT_TRUE(HasNothing(channel));
  EXPECT_EQ(Hear(clients_[0]), size_t{kFileBytes});
  batch = Take(channel);
  ASSERT_TRUE(batch.has_value());
  EXPECT_FALSE(batch->connections[0].image.file);
  EXPECT_EQ(batch->header.oldest_reader, 1);
  EXPECT_EQ(batch->connections[0].image.bytes_out, uint64_t{kFileBytes});
  AnswerAll(channel, *batch, kRefused);
  EXPECT_TRUE(HasNothing(channel));
  PCHECK(write(clients_[0].get(), "\n", 1) == 1);
  Settle();
  EXPECT_TRUE(HasNothing(channel)) << "that was not because of the file";
  sender_.BeginRound(2);
  FdChannel next = AddChannel(2);
  batch = Take(next);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->connections[0].image.file);
  AnswerAll(next, *batch, kTaken);
  EXPECT_EQ(handed_over(), 2u);
}

TEST_F(HandoverSenderFileTest, AreSentHereIfThereIsNobodyOrNoRoom) {
  ServeFiles(2);
  sender_.BeginRound(1);
  {
    FdChannel channel = AddChannel(1);
    ASSERT_EQ(Take(channel)->size(), 2u);
  }
  Settle();
  EXPECT_EQ(log_.ended, std::vector<uint64_t>{1});
  EXPECT_EQ(Hear(clients_[0]), size_t{kFileBytes});
  FdChannel channel = AddChannel(1);
  std::optional<Batch> batch = Take(channel);
  while (batch.has_value()) {
    AnswerAll(channel, *batch, kLater);
    batch = Take(channel);
  }
  AdvanceToRetry();
  EXPECT_EQ(Hear(clients_[1]), Take(channel)->connections[0].image.bytes_out);
}

// What the service remembers may be long.
struct LongState {
  static constexpr uint32_t kVersion = 1;
  std::string Encode() const { return std::string(100'000, 's'); }
  static absl::StatusOr<LongState> Decode(uint32_t /*version*/,
                                          absl::string_view /*bytes*/) {
    return LongState();
  }
};

Task<> SendZerosWithState(Connection conn) {
  conn.state<LongState>();
  co_await SendZeros(std::move(conn));
}

TEST_F(HandoverSenderFileTest, WithALongStateHaveThreeDescriptors) {
  ServeFiles(1, SendZerosWithState, TypedStateCodec<LongState>::Get());
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  const std::optional<Batch> batch = Take(channel);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->header.type, HandoverHeader::Type::kBatchInFile);
  EXPECT_EQ(batch->header.oldest_reader, 2);
  EXPECT_EQ(batch->connections[0].image.state->size(), 100'000u);
  EXPECT_EQ(batch->fds.size(), 2u) << "and the batch itself";
  AnswerAll(channel, *batch, kTaken);
  EXPECT_EQ(handed_over(), 1u);
}

}  // namespace
}  // namespace baton
