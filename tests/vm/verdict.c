/* verdict 0|1: ends the virtual machine with a pass (0) or a fail. QEMU's isa-debug-exit device at port 0x501 turns the
 * value v that is written there into exit status 2v+1. v is 16 or 17, so that QEMU's status is 33 or 35: QEMU itself
 * ends with 0 or 1 when it cannot run or the guest is reset, and none of these may look like a verdict. */
#include <stdlib.h>
#include <sys/io.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 2 || ioperm(0x501, 1, 1) != 0)
        return 1;
    sync();
    outb(16 + (atoi(argv[1]) != 0), 0x501);
    return 1; /* not reached: the machine is gone */
}
