"""The course: lessons that a class can follow offline.

    lesson.py       what a lesson is: goal, steps, a question with a checked answer, references
    course.py       which lessons there are, in their order
    noise.py ...    one file a lesson: what it computes, its figures, its words
    photographs.py  what a network says to photographs, live
    shelf.py        pictures and numbers that were computed before, in assets/lessons
    make_assets.py  the command that computed them
    charts.py, controls.py   charts, and what is moved; both alike in all lessons

A new lesson is one file with a `Lesson` in it and one line in course.py.
"""
