#include "net/open_fds.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "net/unique_fd.h"

namespace baton {
namespace {

std::vector<int> Fds() {
  auto fds = OpenFds();
  EXPECT_TRUE(fds.ok()) << fds.status();
  return fds.ok() ? *std::move(fds) : std::vector<int>();
}

bool Contains(const std::vector<int>& fds, int fd) {
  return std::find(fds.begin(), fds.end(), fd) != fds.end();
}

TEST(OpenFdsTest, ListsExactlyWhatIsOpen) {
  const std::vector<int> before = Fds();
  EXPECT_TRUE(std::is_sorted(before.begin(), before.end()));
  for (const int fd : before) EXPECT_GE(fcntl(fd, F_GETFD), 0) << fd;

  UniqueFd opened(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<int> expected = before;
  expected.push_back(opened.get());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(Fds(), expected);
  opened.reset();
  EXPECT_EQ(Fds(), before);
}

TEST(OpenFdsTest, HoldsManyDescriptorsAndNoneTwice) {
  std::vector<UniqueFd> many;
  for (int i = 0; i < 2000; ++i) {
    many.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(many.back());
  }
  const std::vector<int> fds = Fds();
  for (const UniqueFd& fd : many) EXPECT_TRUE(Contains(fds, fd.get()));
  EXPECT_EQ(std::adjacent_find(fds.begin(), fds.end()), fds.end());
}

TEST(OpenFdsTest, TellsSocketsAndListenersApart) {
  const UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(IsSocket(file.get()));
  EXPECT_FALSE(IsListening(file.get()));

  const UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(IsSocket(tcp.get()));
  EXPECT_FALSE(IsListening(tcp.get()));
  ASSERT_EQ(listen(tcp.get(), 1), 0);
  EXPECT_TRUE(IsListening(tcp.get()));
  ASSERT_EQ(shutdown(tcp.get(), SHUT_RDWR), 0);
  EXPECT_FALSE(IsListening(tcp.get()));

  const UniqueFd udp(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(IsSocket(udp.get()));
  EXPECT_FALSE(IsListening(udp.get()));

  EXPECT_FALSE(IsSocket(-1));
  EXPECT_FALSE(IsListening(-1));
}

}  // namespace
}  // namespace baton
