// A server whose workers have run wild: asked by a client, one writes random
// bytes over all the memory that it shares and into its channel.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include "baton.h"

namespace {

std::mt19937 noise(1);  // NOLINT: the same each time

// Mappings of memfds that can be written to: the scoreboard.
int ScribbleOverSharedMemory() {
  std::ifstream maps("/proc/self/maps");
  int mappings = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("rw-s") == std::string::npos ||
        line.find("memfd:") == std::string::npos) {
      continue;
    }
    char* end = nullptr;
    const uintptr_t from = std::strtoull(line.c_str(), &end, 16);
    const uintptr_t to = std::strtoull(end + 1, nullptr, 16);
    ++mappings;
    for (uintptr_t at = from; at < to; at += sizeof(uint32_t)) {
      *reinterpret_cast<volatile uint32_t*>(at) = noise();
    }
    // Its file, by the only way that is left to it (root's).
    const std::string file =
        "/proc/self/map_files/" + line.substr(0, line.find(' '));
    const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    if (ftruncate(fd, 0) == 0) std::abort();  // the master would die of it
    close(fd);
  }
  return mappings;
}

// Random packets, some with descriptors, into every SEQPACKET socket.
int ScribbleIntoChannels() {
  int channels = 0;
  for (int fd = 3; fd < 1024; ++fd) {
    int type = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        type != SOCK_SEQPACKET) {
      continue;
    }
    ++channels;
    for (int i = 0; i < 100; ++i) {
      unsigned char bytes[64];
      for (unsigned char& byte : bytes) {
        byte = static_cast<unsigned char>(noise());
      }
      iovec part{bytes, noise() % sizeof(bytes)};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      if (i % 3 == 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        *reinterpret_cast<int*>(CMSG_DATA(header)) = fd;
      }
      sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  }
  return channels;
}

baton::Task<> Scribble(baton::Connection conn) {
  const baton::ReadResult order = co_await conn.ReadSome({.idle = true});
  if (!order) co_return;
  std::string reply = "?";
  if (order.bytes()[0] == 'm') {
    reply = std::to_string(ScribbleOverSharedMemory());
  } else if (order.bytes()[0] == 'c') {
    reply = std::to_string(ScribbleIntoChannels());
  }
  const baton::IoError error = co_await conn.Write(reply);
  if (error != baton::IoError::kOk) co_return;
}

}  // namespace

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    services.Stream("scribble", Scribble);
  });
}
