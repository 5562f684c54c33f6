#ifndef BATON_WORKER_HTTP_HTTP_CONNECTION_H_
#define BATON_WORKER_HTTP_HTTP_CONNECTION_H_

#include "net/connection.h"
#include "net/task.h"

namespace baton {

// The handler of every HTTP connection: its requests one after the other, and
// those that have come together answered in one write where their handlers
// answer at once. Between two requests it is idle, which is where it may be
// reaped or handed over. conn.service_data() is an HttpListener, and the thread
// has an HttpWorker.
Task<> ServeHttp(Connection conn);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_CONNECTION_H_
