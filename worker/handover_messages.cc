#include "worker/handover_messages.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/listen_url.h"
#include "net/wire.h"

namespace baton {
namespace {

constexpr uint16_t kVersion = 2;
constexpr uint16_t kOldestReader = 1;
constexpr uint16_t kOldestReaderOfFiles = 2;
constexpr size_t kHeaderBytes = 18;

enum Tag : uint8_t { kListener = 1, kImage = 2 };

std::string EncodeHeader(HandoverHeader::Type type, uint16_t oldest_reader,
                         uint64_t batch, uint32_t connections) {
  std::string out;
  PutInt<uint16_t>(out, static_cast<uint16_t>(type));
  PutInt<uint16_t>(out, kVersion);
  PutInt<uint16_t>(out, oldest_reader);
  PutInt<uint64_t>(out, batch);
  PutInt<uint32_t>(out, connections);
  return out;
}

}  // namespace

bool HandoverHeader::readable() const { return oldest_reader <= kVersion; }

absl::StatusOr<HandoverHeader> TakeHandoverHeader(absl::string_view& message) {
  WireReader fields(message);
  HandoverHeader header;
  const auto type = fields.TakeInt<uint16_t>();
  header.type = static_cast<HandoverHeader::Type>(type);
  header.version = fields.TakeInt<uint16_t>();
  header.oldest_reader = fields.TakeInt<uint16_t>();
  header.batch = fields.TakeInt<uint64_t>();
  header.connections = fields.TakeInt<uint32_t>();
  if (fields.failed()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "handover message of ", message.size(), " bytes: shorter than its ",
        kHeaderBytes, "-byte header"));
  }
  switch (header.type) {
    case HandoverHeader::Type::kBatch:
    case HandoverHeader::Type::kBatchInFile:
    case HandoverHeader::Type::kAnswer:
      message = fields.rest();
      return header;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("handover message of unknown type ", type));
}

bool HandoverBatch::Add(absl::string_view listener,
                        const ConnectionImage& image, size_t most_bytes) {
  if (connections_ == 0) files_ = image.file.has_value();
  CHECK_EQ(files_, image.file.has_value());
  const size_t before = rest_.size();
  if (listener != listener_) {
    PutInt<uint8_t>(rest_, kListener);
    PutText(rest_, listener);
  }
  PutInt<uint8_t>(rest_, kImage);
  AppendImage(rest_, image);
  if (connections_ > 0 && message_bytes() > most_bytes) {
    rest_.resize(before);
    return false;
  }
  if (listener != listener_) listener_ = std::string(listener);
  ++connections_;
  return true;
}

size_t HandoverBatch::message_bytes() const {
  return kHeaderBytes + rest_.size();
}

std::string HandoverBatch::Message() const {
  return Header(HandoverHeader::Type::kBatch) + rest_;
}

std::string HandoverBatch::MessageForFile() const {
  return Header(HandoverHeader::Type::kBatchInFile);
}

std::string HandoverBatch::Header(HandoverHeader::Type type) const {
  return EncodeHeader(type, files_ ? kOldestReaderOfFiles : kOldestReader,
                      number_, connections_);
}

size_t DescriptorsOf(absl::Span<const HandoverConnection> connections) {
  size_t count = connections.size();
  for (const HandoverConnection& each : connections)
    count += each.image.file.has_value() ? 1 : 0;
  return count;
}

absl::StatusOr<std::vector<HandoverConnection>> DecodeBatch(
    const HandoverHeader& header, absl::string_view rest) {
  WireReader records(rest);
  std::string listener;
  std::vector<HandoverConnection> connections;
  while (!records.rest().empty()) {
    const auto tag = records.TakeInt<uint8_t>();
    if (tag == kListener) {
      listener = std::string(records.TakeBytes().substr(0, kMaxListenUrlBytes));
    } else if (tag == kImage) {
      if (connections.size() == header.connections) {
        return absl::InvalidArgumentError(absl::StrCat(
            "batch ", header.batch, " brings more than it announces"));
      }
      connections.push_back({listener, TakeImage(records)});
    } else {
      records.TakeBytes();
    }
    if (records.failed()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "batch ", header.batch, " ends in the middle of a record"));
    }
  }
  if (connections.size() != header.connections) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch ", header.batch, " announces ", header.connections,
                     " connections and brings ", connections.size()));
  }
  return connections;
}

std::string EncodeAnswer(uint64_t batch,
                         absl::Span<const HandoverResult> results) {
  std::string out = EncodeHeader(HandoverHeader::Type::kAnswer, kOldestReader,
                                 batch, static_cast<uint32_t>(results.size()));
  for (const HandoverResult result : results) {
    PutInt<uint8_t>(out, static_cast<uint8_t>(result));
  }
  return out;
}

absl::StatusOr<std::vector<HandoverResult>> DecodeAnswer(
    const HandoverHeader& header, absl::string_view rest) {
  if (header.type != HandoverHeader::Type::kAnswer ||
      rest.size() < header.connections) {
    return absl::InvalidArgumentError(
        absl::StrCat("no answer to batch ", header.batch));
  }
  std::vector<HandoverResult> results;
  results.reserve(header.connections);
  for (const char byte : rest.substr(0, header.connections)) {
    const auto value = static_cast<uint8_t>(byte);
    results.push_back(value <= static_cast<uint8_t>(HandoverResult::kRefused)
                          ? static_cast<HandoverResult>(value)
                          : HandoverResult::kRefused);
  }
  return results;
}

}  // namespace baton
