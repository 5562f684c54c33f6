// What a worker sends to another one may be of any build, or of one that has
// run wild. Whatever the bytes: they decode or they do not, and what decodes
// means the same when it is encoded again.

#include <glog/logging.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/handover_messages.h"

namespace baton {
namespace {

void CheckRoundTrip(uint64_t number,
                    const std::vector<HandoverConnection>& connections,
                    bool files) {
  HandoverBatch batch(number);
  for (const HandoverConnection& connection : connections) {
    CHECK(batch.Add(connection.listener, connection.image,
                    std::numeric_limits<size_t>::max()));
  }
  const std::string message = batch.Message();
  CHECK_EQ(message.size(), batch.message_bytes());
  absl::string_view again = message;
  const auto header = TakeHandoverHeader(again);
  CHECK(header.ok() && header->readable());
  CHECK_EQ(header->batch, number);
  CHECK_EQ(header->oldest_reader, files && !connections.empty() ? 2 : 1);
  const auto decoded = DecodeBatch(*header, again);
  CHECK(decoded.ok());
  CHECK_EQ(decoded->size(), connections.size());
  CHECK_EQ(DescriptorsOf(*decoded), connections.size() * (files ? 2 : 1));
  for (size_t i = 0; i < connections.size(); ++i) {
    CHECK_EQ(connections[i].listener, (*decoded)[i].listener);
    CHECK(connections[i].image == (*decoded)[i].image);
  }
}

void CheckBatch(const HandoverHeader& header, absl::string_view rest) {
  const auto first = DecodeBatch(header, rest);
  if (!first.ok()) return;
  CHECK_EQ(first->size(), header.connections);
  CHECK_LE(first->size(), DescriptorsOf(*first));
  for (const bool files : {false, true}) {
    std::vector<HandoverConnection> alike;
    for (const HandoverConnection& connection : *first) {
      if (connection.image.file.has_value() == files)
        alike.push_back(connection);
    }
    CheckRoundTrip(header.batch, alike, files);
  }
}

void CheckAnswer(const HandoverHeader& header, absl::string_view rest) {
  const auto first = DecodeAnswer(header, rest);
  if (!first.ok()) return;
  CHECK_EQ(first->size(), header.connections);
  const std::string message = EncodeAnswer(header.batch, *first);
  absl::string_view again = message;
  const auto second_header = TakeHandoverHeader(again);
  CHECK(second_header.ok());
  CHECK_EQ(second_header->batch, header.batch);
  CHECK(DecodeAnswer(*second_header, again).value() == *first);
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Longer ones have more of the same, and are slow.
  constexpr size_t kLongest = 256;
  if (size > kLongest) return -1;
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto header = baton::TakeHandoverHeader(rest);
  if (!header.ok()) return 0;
  CHECK_EQ(rest.size() + 18, size);
  if (header->type == baton::HandoverHeader::Type::kAnswer) {
    baton::CheckAnswer(*header, rest);
  } else {
    baton::CheckBatch(*header, rest);
  }
  return 0;
}
