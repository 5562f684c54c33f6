#ifndef BATON_MASTER_BATON_H_
#define BATON_MASTER_BATON_H_

// baton: a prefork server runtime. This is all an application includes.
//
//   #include "baton.h"
//
//   baton::Task<> Echo(baton::Connection conn) {
//     while (true) {
//       auto chunk = co_await conn.ReadSome({.idle = true});
//       if (!chunk) co_return;
//       if (co_await conn.Write(*chunk) != baton::IoError::kOk) co_return;
//     }
//   }
//
//   int main(int argc, char** argv) {
//     return baton::Main(argc, argv, [](baton::Services& services) {
//       services.Stream("my-echo", Echo);
//     });
//   }
//
// and then: my_server --listen=my-echo://127.0.0.1:7007
//
// Contract
// * Main() is called once, from main(), on a process with one thread: it forks.
//   Threads are for the workers, see Services::OnWorkerStart.
// * `register_services` is called once, before flags are parsed and anything
//   is forked. What it makes in memory every worker has a copy of; descriptors
//   that it opens, every worker keeps.
// * An upgrade (SIGUSR2) starts the new program three times with the same
//   arguments: to check itself, as a first worker, and in place of the master,
//   as the master's user. What it opens before Main() and does not close on
//   exec comes anew with each.
// * It returns the exit code of the process: 0 stopped as asked; 1 could not
//   start; 2 bad flags or configuration; 3 stopped, but stop_timeout cut
//   requests in progress. In a worker it never returns.
// * Flags of the application are gflags (DEFINE_...): they can stand on the
//   command line, in the flag file and in the environment like baton's own.

#include "absl/functional/function_ref.h"
#include "net/connection.h"
#include "net/datagram_socket.h"
#include "net/sleep.h"
#include "net/task.h"
#include "worker/application_metrics.h"
#include "worker/http/http_call.h"
#include "worker/http/http_request.h"
#include "worker/http/http_response.h"
#include "worker/offload.h"
#include "worker/periodic_task.h"
#include "worker/services.h"

namespace baton {

int Main(int argc, char** argv,
         absl::FunctionRef<void(Services&)> register_services);

}  // namespace baton

#endif  // BATON_MASTER_BATON_H_
