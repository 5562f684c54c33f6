// The server as it comes: the services that are built in.

#include "master/baton.h"
#include "worker/services.h"

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    baton::RegisterBuiltinServices(services);
  });
}
