import Glibc
import Testing
import X86Assembler

@testable import CNNRuntime

@Suite struct TilePermissionTests {
  /// Clears a tile and stores it; 0 if all of what it stored is 0.
  private static func useTiles() -> Int32 {
    let k = Assembler()
    var tiles = TileConfiguration()
    tiles[.tmm0] = .init(rows: 16, rowByteCount: 64)
    k.configureTiles(tiles)
    k.mov(.rax, 64)
    k.tilestored(GeneralRegister.rdi[.rax], .tmm0)
    k.tilerelease()
    k.ret()
    guard let code = try? k.finish(), let memory = try? ExecutableMemory([code]) else { return 1 }
    var numbers = [Float](repeating: 1, count: 256)
    typealias Function = @convention(c) (UnsafeMutablePointer<Float>) -> Void
    unsafeBitCast(memory.address(of: 0), to: Function.self)(&numbers)
    return numbers == [Float](repeating: 0, count: 256) ? 0 : 2
  }

  /// Other threads than the one that asked, and a child.
  @Test(.enabled(if: Processor.host.instructionSet.contains(.amxTile)))
  func allThreadsAndChildrenMayUseTilesOnceOneHasAsked() {
    guard TilePermission.refusal == nil else { return }
    onNewThreads(2) { _ in #expect(Self.useTiles() == 0) }
    #expect(inForkedChild { Self.useTiles() } == .exited(0))
  }

  @Test func aRefusalIsASentence() {
    func refusal(_ number: Int32?) -> String? { TilePermission.refusal { number } }
    #expect(refusal(0) == nil)
    #expect(
      refusal(ENOSPC)?.hasPrefix("the system does not allow tiles while a thread has an alternate signal stack") == true
    )
    #expect(refusal(EINVAL) == "this system does not know tiles, or does not allow their use here")
    #expect(refusal(EOPNOTSUPP) == refusal(EINVAL))
    #expect(refusal(EPERM) == "the system refused the use of tiles: Operation not permitted")
    #expect(refusal(nil) != nil)
  }
}
