// Runs the applications as a user would, over unix sockets: the server
// logs when it serves, and its exit code is looked at.

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

// The applications stand beside the test.
std::string PathOf(const std::string& name) {
  const char* test = getenv("TEST_BINARY");
  const std::string path = test == nullptr ? "" : test;
  const size_t slash = path.rfind('/');
  return "./" + (slash == std::string::npos ? "" : path.substr(0, slash + 1)) +
         name;
}

class Server {
 public:
  // Returns when the server says in its log that it serves.
  explicit Server(const std::string& name)
      : folder_(TemporaryFolder()), path_(folder_ + "/socket") {
    int log[2];
    EXPECT_EQ(pipe(log), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, log[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, log[0]);
    std::vector<std::string> args = {PathOf(name),
                                     "--workers=1",
                                     "--admin=",
                                     "--control=",
                                     "--listen=" + name + "+unix://" + path_,
                                     "--log_format=json"};
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    EXPECT_EQ(
        posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ),
        0);
    posix_spawn_file_actions_destroy(&actions);
    close(log[1]);
    log_ = fdopen(log[0], "r");
    std::string all;
    char line[4096];
    while (fgets(line, sizeof(line), log_) != nullptr) {
      all += line;
      if (strstr(line, "\"event\":\"ready\"") != nullptr) return;
    }
    ADD_FAILURE() << "the server did not start:\n" << all;
  }

  // Asks it to stop; its exit code.
  int Stop() {
    kill(pid_, SIGTERM);
    int status = 0;
    waitpid(pid_, &status, 0);
    fclose(log_);
    rmdir(folder_.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // Sends `request`, half-closes, reads to the end.
  std::string Ask(const std::string& request) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(
        connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(send(fd, request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    shutdown(fd, SHUT_WR);
    std::string reply;
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
      reply.append(bytes, static_cast<size_t>(n));
    }
    close(fd);
    return reply;
  }

 private:
  // A unix socket's path is short (unix(7): 107 bytes), a sandbox's is not.
  static std::string TemporaryFolder() {
    std::string name = "/tmp/application_test_XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    return name;
  }

  const std::string folder_;
  const std::string path_;
  pid_t pid_ = -1;
  FILE* log_ = nullptr;
};

TEST(Application, LengthPrefixedMessages) {
  Server server("reverse");
  const std::string hello("\0\0\0\5hello", 9), olleh("\0\0\0\5olleh", 9);
  EXPECT_EQ(server.Ask(hello), olleh);
  EXPECT_EQ(server.Ask(hello + hello), olleh + olleh);
  EXPECT_EQ(server.Ask(hello + hello.substr(0, 6)), olleh);  // half a message
  EXPECT_EQ(server.Ask(std::string("\xff\xff\xff\xff", 4)), "");
  EXPECT_EQ(server.Stop(), 0);
}

TEST(Application, Http) {
  Server server("www");
  const std::string get = " HTTP/1.0\r\n\r\n";
  EXPECT_THAT(server.Ask("GET /hello/you" + get),
              testing::EndsWith("\r\n\r\nHello, you\n"));
  EXPECT_THAT(server.Ask("POST /reverse HTTP/1.1\r\nHost: h\r\n"
                         "Content-Length: 3\r\nConnection: close\r\n\r\nabc"),
              testing::EndsWith("\r\n\r\ncba"));
  EXPECT_THAT(server.Ask("HEAD /ticks" + get),
              testing::HasSubstr("Content-Type: text/event-stream\r\n"));
  EXPECT_EQ(server.Stop(), 0);
}

TEST(Application, Lines) {
  Server server("shout");
  EXPECT_EQ(server.Ask("hello\nworld\n"), "HELLO\nWORLD\n");
  EXPECT_EQ(server.Stop(), 0);
}

// As `openssl passwd -6` does it.
TEST(Application, HashedLines) {
  Server server("hash");
  EXPECT_EQ(server.Ask("secret\n"),
            "$6$rounds=1000$baton$aUYOqPagQgfkNpET.qmYPFYKE/NE/xfW"
            "FRz5nOaNU0rwi8SNnm/qiTR4cg5NRuqrKOXRgekK4.gVKxPLEr9yx/\n");
  EXPECT_EQ(server.Stop(), 0);
}

}  // namespace
