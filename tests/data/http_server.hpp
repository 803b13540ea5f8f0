#pragma once
// A web server of a few lines on 127.0.0.1 that can be told to misbehave.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace normlab::test {

struct HttpRequest {
  std::string path;
  std::int64_t range_begin = -1;  ///< of "Range: bytes=N-"; -1: none
  std::string if_range;
};

struct HttpReply {
  int status = 200;
  std::string headers;  ///< whole lines, each ending in \r\n
  std::string body;
  std::int64_t announced = -1;  ///< Content-Length; -1: that of the body, -2: none
  std::size_t send = SIZE_MAX;  ///< so much of the body, then
  bool stall = false;           ///< ... nothing more, with the line held open (else it is cut)
};

/// Answers request k with script[k], and with the last entry from then on. One connection at a time, each
/// closed after one answer.
class HttpServer {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  explicit HttpServer(std::vector<Handler> script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 8) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("cannot listen on 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }

  [[nodiscard]] std::string url(const std::string& path = "/file") const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }

  /// The requests so far.
  std::vector<HttpRequest> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  /// Waits until `socket` can be read; false when the server is to stop.
  bool readable(int socket) {
    while (!stop_) {
      pollfd ready{socket, POLLIN, 0};
      if (::poll(&ready, 1, 20) > 0) return true;
    }
    return false;
  }

  void serve() {
    while (readable(listener_)) {
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket < 0) continue;
      std::string text;
      char buffer[4096];
      while (text.find("\r\n\r\n") == std::string::npos && readable(socket)) {
        const ssize_t got = ::recv(socket, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        text.append(buffer, static_cast<std::size_t>(got));
      }
      if (text.find("\r\n\r\n") != std::string::npos) answer(socket, parse(text));
      ::close(socket);
    }
  }

  static std::string header(const std::string& text, const std::string& name) {
    const std::size_t at = text.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const std::size_t begin = at + name.size() + 4;
    return text.substr(begin, text.find("\r\n", begin) - begin);
  }

  static HttpRequest parse(const std::string& text) {
    HttpRequest request;
    const std::size_t space = text.find(' ');
    request.path = text.substr(space + 1, text.find(' ', space + 1) - space - 1);
    const std::string range = header(text, "Range");
    if (!range.empty()) request.range_begin = std::stoll(range.substr(range.find('=') + 1));
    request.if_range = header(text, "If-Range");
    return request;
  }

  static void send_all(int socket, const std::string& bytes) {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t now = ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (now <= 0) return;
      sent += static_cast<std::size_t>(now);
    }
  }

  void answer(int socket, const HttpRequest& request) {
    std::size_t number = 0;
    {
      const std::lock_guard lock(mutex_);
      number = requests_.size();
      requests_.push_back(request);
    }
    const HttpReply reply = script_[std::min(number, script_.size() - 1)](request);
    std::string head =
        fmt::format("HTTP/1.1 {} Status\r\nConnection: close\r\n{}", reply.status, reply.headers);
    const std::int64_t length =
        reply.announced == -1 ? static_cast<std::int64_t>(reply.body.size()) : reply.announced;
    if (length >= 0) head += fmt::format("Content-Length: {}\r\n", length);
    send_all(socket, head + "\r\n" + reply.body.substr(0, reply.send));
    if (reply.stall) {  // until the client has had enough
      char byte = 0;
      while (readable(socket) && ::recv(socket, &byte, 1, 0) > 0) continue;
    }
  }

  std::vector<Handler> script_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::vector<HttpRequest> requests_;
  std::thread thread_;
};

/// Serves `content` as a good server does: ranges, If-Range, an ETag.
inline HttpServer::Handler honest(const std::string& content, const std::string& etag = "\"v1\"") {
  return [=](const HttpRequest& request) {
    HttpReply reply;
    reply.headers = "ETag: " + etag + "\r\n";
    const bool same = request.if_range.empty() || request.if_range == etag;
    if (request.range_begin < 0 || !same) {
      reply.body = content;
    } else if (static_cast<std::size_t>(request.range_begin) >= content.size()) {
      reply.status = 416;
    } else {
      reply.status = 206;
      reply.headers += fmt::format("Content-Range: bytes {}-{}/{}\r\n", request.range_begin,
                                   content.size() - 1, content.size());
      reply.body = content.substr(static_cast<std::size_t>(request.range_begin));
    }
    return reply;
  };
}

/// Like `inner`, but sends only `bytes` of the body; then holds the line open or cuts it.
inline HttpServer::Handler stop_after(std::size_t bytes, bool stall, const HttpServer::Handler& inner) {
  return [=](const HttpRequest& request) {
    HttpReply reply = inner(request);
    reply.announced = static_cast<std::int64_t>(reply.body.size());
    reply.send = bytes;
    reply.stall = stall;
    return reply;
  };
}

inline HttpServer::Handler only_status(int status) {
  return [=](const HttpRequest&) {
    HttpReply reply;
    reply.status = status;
    reply.body = "<html>an error page</html>";
    return reply;
  };
}

}  // namespace normlab::test
