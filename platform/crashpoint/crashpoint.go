// Package crashpoint names places in the code at which the chaos suite ends or holds a process, so that a fault between
// two steps is hit by name and not by luck. Only binaries built with the tag crashpoints know how; in all others a point
// is an empty function, of which the compiler leaves nothing.
//
// With the tag, the variable CRASHPOINTS names a folder. A file in it, called <where>.<what>, arms that point once: it
// is renamed to <where>.<what>.reached by the first that comes by, and its first line says what follows:
//
//	kill    the process ends with SIGKILL
//	stall   whoever has come by waits until the file .reached is gone
//
// A second line, if there is one, is part of a function's name: only who has that function on its stack has come by.
// Files have to appear complete, by a rename.
package crashpoint
