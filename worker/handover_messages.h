#ifndef BATON_WORKER_HANDOVER_MESSAGES_H_
#define BATON_WORKER_HANDOVER_MESSAGES_H_

// What two workers say to each other when one hands its connections over.
//
// They talk over a channel (net/fd_channel.h) that their master made for it.
// The one that leaves sends a *batch*: descriptors, and with each of them what
// its successor needs to know. The other one answers every batch with one
// *result* a connection. One batch at a time is unanswered.
//
//   u16 type | u16 version | u16 oldest reader | u64 batch | u32 connections
//   | rest
//
// little-endian. The two may be different builds. What is before `rest` never
// changes, so that every message can be answered. A build that is older than
// `oldest reader` refuses the batch as a whole, and the connections stay where
// they are.
//
// A connection brings its descriptor, and one that is in the middle of a file
// that of the file behind it. Builds before version 2 know nothing of files,
// so such connections go in batches of their own.
//
// Rest of a batch: records, each u8 tag | u32 length | bytes. A listener, as
// its URL, holds for all images behind it (net/connection_image.h). Other tags
// are ignored. One that is too long for a message comes as a file: behind the
// descriptors of its connection, the message has that of a memfd with the rest.
// Rest of an answer: u8 result for each connection, in order.
//
// Pure functions, thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/connection_image.h"

namespace baton {

struct HandoverHeader {
  enum class Type : uint16_t { kBatch = 1, kBatchInFile = 2, kAnswer = 3 };

  Type type = Type::kBatch;
  uint16_t version = 0;
  uint16_t oldest_reader = 0;
  uint64_t batch = 0;
  uint32_t connections = 0;

  // Whether this build may read the rest.
  bool readable() const;
};

// Takes the header off `message`; what is left is the rest.
// Errors: too short, or a type that is none.
absl::StatusOr<HandoverHeader> TakeHandoverHeader(absl::string_view& message);

class HandoverBatch {
 public:
  explicit HandoverBatch(uint64_t number) : number_(number) {}

  // False, with nothing changed, if it has one and another one would make it
  // longer than `most_bytes`. All have a file, or none has (CHECKed).
  bool Add(absl::string_view listener, const ConnectionImage& image,
           size_t most_bytes);

  uint64_t number() const { return number_; }
  uint32_t connections() const { return connections_; }
  size_t message_bytes() const;
  // The whole message; or its two parts.
  std::string Message() const;
  std::string MessageForFile() const;
  const std::string& rest() const { return rest_; }

 private:
  std::string Header(HandoverHeader::Type type) const;

  const uint64_t number_;
  uint32_t connections_ = 0;
  bool files_ = false;
  std::string rest_;
  std::string listener_;  // that holds for the next one
};

struct HandoverConnection {
  std::string listener;
  ConnectionImage image;
};

// How many descriptors they come with.
size_t DescriptorsOf(absl::Span<const HandoverConnection> connections);

// The rest of a batch of so many. Errors say what is wrong with it.
absl::StatusOr<std::vector<HandoverConnection>> DecodeBatch(
    const HandoverHeader& header, absl::string_view rest);

enum class HandoverResult : uint8_t {
  kTaken = 0,    // the one that sent it must close it
  kLater = 1,    // no descriptor or no memory: ask again
  kRefused = 2,  // it can't serve this one
};

std::string EncodeAnswer(uint64_t batch,
                         absl::Span<const HandoverResult> results);
// What is no result is a refusal: the connection stays where it is.
absl::StatusOr<std::vector<HandoverResult>> DecodeAnswer(
    const HandoverHeader& header, absl::string_view rest);

}  // namespace baton

#endif  // BATON_WORKER_HANDOVER_MESSAGES_H_
