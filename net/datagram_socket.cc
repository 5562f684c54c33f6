#include "net/datagram_socket.h"

#include <errno.h>
#include <glog/logging.h>
#include <netinet/in.h>
#include <string.h>

#include <algorithm>
#include <functional>

namespace baton {
namespace {

// Turns the control message that says where a datagram came to into the one
// that says where the answer comes from - ip(7), ipv6(7). False when the answer
// has to do without.
bool MakeSourceControl(msghdr& received) {
  cmsghdr* const part = CMSG_FIRSTHDR(&received);
  if (part == nullptr) return false;
  if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
    // ipi_spec_dst already is the local address. Routing picks the interface.
    reinterpret_cast<in_pktinfo*>(CMSG_DATA(part))->ipi_ifindex = 0;
    return true;
  }
  if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
    auto* const info = reinterpret_cast<in6_pktinfo*>(CMSG_DATA(part));
    if (IN6_IS_ADDR_MULTICAST(&info->ipi6_addr)) return false;
    // A link-local answer keeps its interface by the zone of the peer.
    info->ipi6_ifindex = 0;
    return true;
  }
  return false;
}

}  // namespace

Endpoint DatagramPeer::endpoint() const {
  const msghdr& header = batch_.in_headers_[index_].msg_hdr;
  return Endpoint::FromSockaddr(static_cast<const sockaddr*>(header.msg_name),
                                header.msg_namelen)
      .value_or(Endpoint());
}

void DatagramPeer::Reply(absl::string_view bytes) {
  batch_.QueueReply(index_, bytes);
}

DatagramBatch::DatagramBatch()
    : in_bytes_(std::make_unique_for_overwrite<char[]>(kBatch * kMaxBytes)),
      out_bytes_(std::make_unique_for_overwrite<char[]>(kBatch * kMaxBytes)) {
  for (size_t i = 0; i < kBatch; ++i) {
    in_[i].bytes = {InBytes(i), kMaxBytes};
    msghdr& in = in_headers_[i].msg_hdr;
    in.msg_name = &in_[i].name;
    in.msg_control = in_[i].control.data();
    in.msg_iov = &in_[i].bytes;
    in.msg_iovlen = 1;
    PrepareIn(i);
    msghdr& out = out_headers_[i].msg_hdr;
    out.msg_iov = &out_[i];
    out.msg_iovlen = 1;
  }
}

// recvmmsg overwrites these two - recvmsg(2).
void DatagramBatch::PrepareIn(size_t index) {
  msghdr& in = in_headers_[index].msg_hdr;
  in.msg_namelen = sizeof(in_[index].name);
  in.msg_controllen = in_[index].control.size();
}

DatagramBatch::Result DatagramBatch::Serve(int fd, Handler handler,
                                           TrafficCounters& counters) {
  CHECK(counters_ == nullptr) << "Serve called from a handler";
  int received;
  do {
    received = recvmmsg(fd, in_headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
  } while (received < 0 && errno == EINTR);
  if (received < 0) {
    if (errno == EAGAIN) return {Turn::kDrained};
    return {Turn::kError, errno};
  }
  fd_ = fd;
  counters_ = &counters;
  const auto count = static_cast<size_t>(received);
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view bytes(InBytes(i), in_headers_[i].msg_len);
    counters.datagrams_in.Add(1);
    counters.bytes_in.Add(bytes.size());
    DatagramPeer peer(*this, i);
    handler(bytes, peer);
  }
  Flush();
  for (size_t i = 0; i < count; ++i) PrepareIn(i);
  counters_ = nullptr;
  // A short batch ended because the queue was empty: what comes after that is
  // a new edge. An error would end one too, but a socket that is not connected
  // gets none from the network unless it asks for them - ip(7), IP_RECVERR.
  return {count == kBatch ? Turn::kMore : Turn::kDrained};
}

void DatagramBatch::QueueReply(size_t index, absl::string_view bytes) {
  if (bytes.size() > kMaxBytes) {
    counters_->datagrams_dropped.Add(1);
    return;
  }
  if (queued_ == kBatch) Flush();
  const mmsghdr& question = in_headers_[index];
  const char* const begin = InBytes(index);
  const char* const end = begin + question.msg_len;
  // std::less orders pointers into different objects too.
  const bool borrowed = !std::less<>()(bytes.data(), begin) &&
                        !std::less<>()(end, bytes.data() + bytes.size());
  if (borrowed) {
    out_[queued_] = {const_cast<char*>(bytes.data()), bytes.size()};
  } else {
    std::copy_n(bytes.data(), bytes.size(), OutBytes(queued_));
    out_[queued_] = {OutBytes(queued_), bytes.size()};
  }
  msghdr& answer = out_headers_[queued_].msg_hdr;
  answer.msg_name = question.msg_hdr.msg_name;
  answer.msg_namelen = question.msg_hdr.msg_namelen;
  const bool has_source = MakeSourceControl(in_headers_[index].msg_hdr);
  answer.msg_control = has_source ? question.msg_hdr.msg_control : nullptr;
  answer.msg_controllen = has_source ? question.msg_hdr.msg_controllen : 0;
  ++queued_;
}

void DatagramBatch::Flush() {
  size_t done = 0;
  while (done < queued_) {
    const int sent = sendmmsg(fd_, &out_headers_[done],
                              static_cast<unsigned>(queued_ - done),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) {
      // It is the first of them that failed; the next may go elsewhere.
      counters_->datagrams_dropped.Add(1);
      ++done;
      continue;
    }
    for (int i = 0; i < sent; ++i, ++done) {
      counters_->bytes_out.Add(out_headers_[done].msg_len);
    }
    counters_->datagrams_out.Add(static_cast<uint64_t>(sent));
  }
  counters_->datagrams_dropped.Add(queued_ - done);
  queued_ = 0;
}

}  // namespace baton
