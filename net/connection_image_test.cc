#include "net/connection_image.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// Every field is another than that of an empty one, and none is like another.
ConnectionImage FullImage() {
  return {.unread = std::string("half a \0line", 12),
          .bytes_in = 0x0102030405060708,
          .bytes_out = 0x1112131415161718,
          .age = absl::Hours(30) + absl::Nanoseconds(1),
          .idle_left = absl::Milliseconds(59'999),
          .state_version = 0x21222324,
          .state = std::string("st\0ate", 6),
          .file = FileRest{.offset = 0x3132333435363738, .size = 0x41424344}};
}

std::string Encode(const ConnectionImage& image) {
  std::string bytes;
  AppendImage(bytes, image);
  return bytes;
}

ConnectionImage RoundTrip(const ConnectionImage& image) {
  const std::string bytes = Encode(image);
  WireReader reader(bytes);
  const ConnectionImage taken = TakeImage(reader);
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.rest(), "");
  return taken;
}

TEST(ConnectionImageTest, EveryFieldComesBack) {
  EXPECT_EQ(RoundTrip(FullImage()), FullImage());
  EXPECT_EQ(RoundTrip(ConnectionImage()), ConnectionImage());
}

TEST(ConnectionImageTest, AnEmptyStateIsAState) {
  ConnectionImage image;
  image.state = "";
  EXPECT_EQ(RoundTrip(image).state, "");
  image.state.reset();
  EXPECT_EQ(RoundTrip(image).state, std::nullopt);
}

TEST(ConnectionImageTest, TimesThatAreNoNumberOfNanoseconds) {
  struct Case {
    absl::Duration sent, received;
  };
  const std::vector<Case> cases = {
      {absl::ZeroDuration(), absl::ZeroDuration()},
      {absl::InfiniteDuration(), absl::InfiniteDuration()},
      {absl::Seconds(-1), absl::ZeroDuration()},
      {-absl::InfiniteDuration(), absl::ZeroDuration()},
      {absl::Nanoseconds(1) / 4, absl::ZeroDuration()},
      // The longest that fits; what is longer but not for ever becomes that.
      {absl::Nanoseconds(std::numeric_limits<int64_t>::max()),
       absl::Nanoseconds(std::numeric_limits<int64_t>::max())},
      {absl::Hours(24 * 365'000),
       absl::Nanoseconds(std::numeric_limits<int64_t>::max())},
  };
  for (const Case& each : cases) {
    ConnectionImage image;
    image.age = image.idle_left = each.sent;
    EXPECT_EQ(RoundTrip(image).age, each.received) << each.sent;
    EXPECT_EQ(RoundTrip(image).idle_left, each.received) << each.sent;
  }
}

// Workers of another build read these bytes.
TEST(ConnectionImageTest, TheWireFormatIsPinned) {
  ConnectionImage image = {.unread = "u",
                           .bytes_in = 1,
                           .bytes_out = 2,
                           .age = absl::Nanoseconds(3),
                           .idle_left = absl::InfiniteDuration(),
                           .state_version = 5,
                           .state = "s",
                           .file = std::nullopt};
  const std::string expected(
      "\x2f\0\0\0"
      "\x01\0\0\0\0\0\0\0"
      "\x02\0\0\0\0\0\0\0"
      "\x03\0\0\0\0\0\0\0"
      "\xff\xff\xff\xff\xff\xff\xff\xff"
      "\x01\0\0\0u"
      "\x01"
      "\x05\0\0\0"
      "\x01\0\0\0s",
      4 + 0x2f);
  EXPECT_EQ(Encode(image), expected);

  image.file = FileRest{.offset = 6, .size = 7};
  std::string with_file = expected + std::string(
                                         "\x01"
                                         "\x06\0\0\0\0\0\0\0"
                                         "\x07\0\0\0\0\0\0\0",
                                         17);
  with_file[0] = 0x2f + 17;
  EXPECT_EQ(Encode(image), with_file);
}

TEST(ConnectionImageTest, FieldsOfALaterBuildAreIgnored) {
  std::string bytes = Encode(FullImage());
  bytes.append("later");
  bytes[0] = static_cast<char>(bytes[0] + 5);  // they are part of the image
  bytes.append("behind it");
  WireReader reader(bytes);
  EXPECT_EQ(TakeImage(reader), FullImage());
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.rest(), "behind it");
}

TEST(ConnectionImageTest, EveryCutFails) {
  const std::string bytes = Encode(FullImage());
  for (size_t size = 0; size < bytes.size(); ++size) {
    // Of a buffer of its own, so that a read beyond it is seen.
    const std::vector<char> cut(bytes.begin(),
                                bytes.begin() + static_cast<ptrdiff_t>(size));
    WireReader reader(absl::string_view(cut.data(), cut.size()));
    TakeImage(reader);
    EXPECT_TRUE(reader.failed()) << "cut to " << size;
  }
}

// The image's own length says that it ends before its last field does. One that
// ends where there were no files yet is of an older build.
TEST(ConnectionImageTest, EveryLengthThatIsTooShortFails) {
  const std::string bytes = Encode(FullImage());
  const int whole = static_cast<int>(bytes.size()) - 4,
            without_file = whole - 17;
  for (int length = 0; length < whole; ++length) {
    std::string lying = bytes;
    lying[0] = static_cast<char>(length);
    WireReader reader(lying);
    const ConnectionImage image = TakeImage(reader);
    EXPECT_EQ(reader.failed(), length != without_file)
        << "said to be " << length;
    if (length == without_file) {
      ConnectionImage older = FullImage();
      older.file.reset();
      EXPECT_EQ(image, older);
    }
  }
}

// A later build may have something to say behind it.
TEST(ConnectionImageTest, NoFileMaySayThatItIsNone) {
  ConnectionImage image = FullImage();
  image.file.reset();
  std::string bytes = Encode(image);
  bytes.append("\0later", 6);
  bytes[0] = static_cast<char>(bytes[0] + 6);
  WireReader reader(bytes);
  EXPECT_EQ(TakeImage(reader), image);
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.rest(), "");
}

TEST(ConnectionImageTest, OneBehindTheOther) {
  ConnectionImage second;
  second.unread = "second";
  std::string bytes = "before";
  AppendImage(bytes, FullImage());
  AppendImage(bytes, second);
  WireReader reader(absl::string_view(bytes).substr(6));
  EXPECT_EQ(TakeImage(reader), FullImage());
  EXPECT_EQ(TakeImage(reader), second);
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.rest(), "");
  TakeImage(reader);
  EXPECT_TRUE(reader.failed()) << "there is no third";
}

}  // namespace
}  // namespace baton
