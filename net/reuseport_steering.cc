#include "net/reuseport_steering.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/errno_status.h"

namespace baton {
namespace {

// Odd, and its bits are well spread: 2^32 divided by the golden ratio (Knuth,
// The Art of Computer Programming, vol. 3, 6.4).
constexpr uint32_t kMultiplier = 0x9e3779b1;

constexpr uint32_t kNetwork = static_cast<uint32_t>(SKF_NET_OFF);
constexpr uint32_t kRandomNumber =
    static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_RANDOM);

sock_filter Do(uint16_t code, uint32_t k) { return BPF_STMT(code, k); }

void Append(std::vector<sock_filter>& program,
            std::initializer_list<sock_filter> more) {
  program.insert(program.end(), more);
}

// A = A modulo `live`, and that is the index.
void AppendChoice(std::vector<sock_filter>& program, uint32_t live) {
  Append(program,
         {Do(BPF_ALU | BPF_MOD | BPF_K, live), Do(BPF_RET | BPF_A, 0)});
}

std::vector<sock_filter> RandomProgram(uint32_t live) {
  std::vector<sock_filter> program = {
      Do(BPF_LD | BPF_W | BPF_ABS, kRandomNumber)};
  AppendChoice(program, live);
  return program;
}

// Mixes A into the hash in M[0].
void AppendMix(std::vector<sock_filter>& program) {
  Append(program, {Do(BPF_LDX | BPF_MEM, 0), Do(BPF_ALU | BPF_XOR | BPF_X, 0),
                   Do(BPF_ALU | BPF_MUL | BPF_K, kMultiplier), Do(BPF_ST, 0)});
}

// The upper bits of a product are its good ones.
void AppendHashChoice(std::vector<sock_filter>& program, uint32_t live) {
  Append(program, {Do(BPF_ALU | BPF_RSH | BPF_K, 8)});
  AppendChoice(program, live);
}

// The program sees the datagram from its payload on; headers are reached
// relative to the network header (linux/filter.h, SKF_NET_OFF).
std::vector<sock_filter> SourceHashProgram(uint32_t live) {
  std::vector<sock_filter> v4 = {
      Do(BPF_LD | BPF_W | BPF_ABS, kNetwork + 12)};  // source address
  AppendMix(v4);
  Append(v4, {Do(BPF_LDX | BPF_B | BPF_MSH, kNetwork),   // header's length
              Do(BPF_LD | BPF_H | BPF_IND, kNetwork)});  // source port
  AppendMix(v4);
  AppendHashChoice(v4, live);

  std::vector<sock_filter> v6;
  for (uint32_t offset = 8; offset < 24; offset += 4) {
    Append(v6, {Do(BPF_LD | BPF_W | BPF_ABS, kNetwork + offset)});
    AppendMix(v6);
  }
  Append(v6, {Do(BPF_LD | BPF_H | BPF_ABS, kNetwork + 40)});
  AppendMix(v6);
  AppendHashChoice(v6, live);

  std::vector<sock_filter> program = {
      Do(BPF_LD | BPF_IMM, 0), Do(BPF_ST, 0),
      Do(BPF_LD | BPF_B | BPF_ABS, kNetwork),
      Do(BPF_ALU | BPF_RSH | BPF_K, 4),  // the version
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, static_cast<uint8_t>(v4.size()),
               0)};
  program.insert(program.end(), v4.begin(), v4.end());
  program.insert(program.end(), v6.begin(), v6.end());
  return program;
}

}  // namespace

absl::Status SteerReuseport(int fd, SteerBy how, int live) {
  CHECK_GE(live, 1);
  std::vector<sock_filter> filters =
      how == SteerBy::kRandom ? RandomProgram(static_cast<uint32_t>(live))
                              : SourceHashProgram(static_cast<uint32_t>(live));
  const sock_fprog program = {static_cast<uint16_t>(filters.size()),
                              filters.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                 sizeof(program)) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus("setsockopt(SO_ATTACH_REUSEPORT_CBPF)",
                     absl::StrCat("descriptor ", fd), errno);
}

absl::Status StopSteering(int fd) {
  const int unused = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused,
                 sizeof(unused)) == 0 ||
      errno == ENOENT) {
    return absl::OkStatus();
  }
  return ErrnoStatus("setsockopt(SO_DETACH_REUSEPORT_BPF)",
                     absl::StrCat("descriptor ", fd), errno);
}

}  // namespace baton
