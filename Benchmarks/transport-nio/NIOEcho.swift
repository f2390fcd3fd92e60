// transport-nio handler|async|async-own: the echo server that SwiftNIO users write, on one event
// loop.
//
// "async" leaves Swift's global executor as it is; "async-own" makes the event loop that executor,
// which spares a thread hop per message. Prints its port, serves until standard input ends, and
// then leaves: SwiftNIO counts nothing that could be reported.

import Glibc
import NIOCore
import NIOPosix

/// Sends back what arrives, flushed once per turn of the event loop.
final class EchoHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.write(data, promise: nil)
  }

  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}

/// Tells the port; the process ends when the parent closes our standard input.
func report(_ port: Int?) {
  print("port \(port ?? 0)")
  fflush(nil)
  var thread = pthread_t()
  unsafe pthread_create(
    &thread, nil,
    { _ in
      while getchar() != EOF {}
      print("{}")
      fflush(nil)
      exit(0)
    }, nil)
}

func bootstrap(on group: any EventLoopGroup) -> ServerBootstrap {
  ServerBootstrap(group: group)
    .serverChannelOption(.backlog, value: 4096)
    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
    .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
}

func serveWithHandlers(on group: any EventLoopGroup) async throws {
  let server = try await bootstrap(on: group)
    .childChannelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandler(EchoHandler())
      }
    }
    .bind(host: "127.0.0.1", port: 0).get()
  report(server.localAddress?.port)
  try await server.closeFuture.get()
}

func serveWithTasks(on group: any EventLoopGroup) async throws {
  let server = try await bootstrap(on: group)
    .bind(host: "127.0.0.1", port: 0) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
  report(server.channel.localAddress?.port)
  try await withThrowingDiscardingTaskGroup { tasks in
    try await server.executeThenClose { clients in
      for try await client in clients {
        tasks.addTask {
          try? await client.executeThenClose { inbound, outbound in
            for try await bytes in inbound { try await outbound.write(bytes) }
          }
        }
      }
    }
  }
}

@main
enum NIOEcho {
  static func main() async throws {
    switch CommandLine.arguments.dropFirst().first {
    case "handler":
      try await serveWithHandlers(on: MultiThreadedEventLoopGroup(numberOfThreads: 1))
    case "async":
      try await serveWithTasks(on: MultiThreadedEventLoopGroup(numberOfThreads: 1))
    case "async-own":
      NIOSingletons.groupLoopCountSuggestion = 1
      NIOSingletons.blockingPoolThreadCountSuggestion = 1
      precondition(
        NIOSingletons.unsafeTryInstallSingletonPosixEventLoopGroupAsConcurrencyGlobalExecutor()
      )
      try await serveWithTasks(on: NIOSingletons.posixEventLoopGroup)
    default:
      print("usage: transport-nio handler|async|async-own")
      exit(64)
    }
  }
}
