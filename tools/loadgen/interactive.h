#ifndef BATON_TOOLS_LOADGEN_INTERACTIVE_H_
#define BATON_TOOLS_LOADGEN_INTERACTIVE_H_

// Problem: a program that waits for the keyboard does not see what the server
// says meanwhile, and the other way round.
//
// Interact() waits for both at once with poll(2), which is the right call for
// three descriptors: what is typed is sent, what arrives is printed, whichever
// comes first, and neither side's slowness stops the other.
//
// Contract
// * The end of the input (Ctrl-D) closes the sending direction only; what the
//   server still has to say is printed until it closes too.
// * Everything received in band goes to `output_fd`, to the byte. An urgent
//   byte is told of on `notice_fd`, one line each.
// * `urgent`: each piece read from the input is sent with an urgent '!' in its
//   middle.
// * Datagrams: each piece read from the input is one, and as there is no end of
//   a stream, it ends when as many came back as were sent, or none did for
//   `patience` after the end of the input.
// * Nothing typed is read ahead of what can be sent by more than 64 KiB, and
//   likewise for what can be printed.

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/unique_fd.h"

namespace baton::loadgen {

struct InteractiveOptions {
  int input_fd = 0;   // borrowed
  int output_fd = 1;  // borrowed; may be in blocking mode
  int notice_fd = 2;  // borrowed
  bool urgent = false;
  bool datagrams = false;
  bool answers = true;  // datagrams: some will come
  absl::Duration patience = absl::Seconds(5);
};

// `socket` is connected and non-blocking. OK when the peer closed in order;
// an errno's status when the connection broke; DeadlineExceeded when datagrams
// were not answered.
absl::Status Interact(UniqueFd socket, const InteractiveOptions& options);

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_INTERACTIVE_H_
