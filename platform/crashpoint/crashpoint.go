// Package crashpoint names places in the code at which the chaos suite kills or stalls a process, so that it makes a fault
// between two steps by name and not by luck. Only binaries built with the tag crashpoints do so. In all others a point is an
// empty function, of which the compiler leaves nothing.
//
// With the tag, the variable CRASHPOINTS names a folder. A file in it, called <where>.<what>, arms that point once. The first
// goroutine that reaches the point renames the file to <where>.<what>.reached and does what the first line says:
//
//	kill    the process ends with SIGKILL
//	stall   the goroutine waits until the file .reached is gone
//
// A second line, if there is one, is part of a function's name: only a goroutine with that function on its stack reaches the
// point. Whoever arms a point writes the file elsewhere and renames it, so that it appears complete.
package crashpoint
