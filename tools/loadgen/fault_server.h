#ifndef BATON_TOOLS_LOADGEN_FAULT_SERVER_H_
#define BATON_TOOLS_LOADGEN_FAULT_SERVER_H_

// Problem: whether a client counts a server's faults right can be seen only
// with a server whose faults are known to the number.
//
// A server of one thread that cuts what it receives into messages and asks a
// function of the test what to do with each. For tests of the load generator
// only: it shares no code with it, nor with the server that it is made for.
//
// Contract
// * The answering function runs on the server's thread, one call at a time. The
//   destructor ends the thread; what the function uses must live until then.
// * Answers are sent in blocking mode: both sides must be willing to read.
// * The peer's end of file is answered by closing.

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "tools/loadgen/load_target.h"

namespace baton::loadgen {

struct Message {
  int connection;  // in order of accepting, from 0; datagrams: 0
  int sequence;    // on the connection, from 0
  int total;       // in the server's life, from 0
  std::string bytes;
};

struct Reply {
  enum class Then { kKeep, kClose, kReset };

  std::string bytes;
  Then then = Then::kKeep;
};

inline Reply Echo(const Message& message) { return {message.bytes}; }

struct FaultServerOptions {
  LoadTarget::Scheme scheme = LoadTarget::Scheme::kEcho;
  LoadTarget::Transport transport = LoadTarget::Transport::kTcp;
  // A message is so many bytes; 0: up to an empty line (HTTP).
  size_t message_bytes = 64;
  std::function<Reply(const Message&)> answer = Echo;
  // What becomes of an urgent byte.
  enum class Urgent { kEcho, kEchoLast, kDrop, kChange };
  // kEchoLast: a while after the answer to the message that it came in, so
  // that it comes alone.
  Urgent urgent = Urgent::kEcho;
};

class FaultServer {
 public:
  explicit FaultServer(FaultServerOptions options);
  ~FaultServer();

  // Where it listens, as the load generator wants it.
  const LoadTarget& target() const { return target_; }
  int accepted() const { return accepted_; }

 private:
  struct Client {
    UniqueFd fd;
    int number;
    int messages = 0;
    std::string received = {};
    std::string urgent = {};  // to go after the next answer
  };

  void Listen();
  void Run();
  void Accept();
  bool Serve(Client& client, short events);  // false: close
  bool Answer(Client& client);
  void AnswerUrgent(Client& client);
  void ServeDatagram();

  const FaultServerOptions options_;
  std::string directory_;  // of a unix socket
  LoadTarget target_;
  UniqueFd stop_;
  UniqueFd listener_;
  std::vector<Client> clients_;
  std::atomic<int> accepted_ = 0;
  int total_ = 0;
  std::thread thread_;
};

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_FAULT_SERVER_H_
