from tests.screen.test_refused import *
def test_x(xvfb, tmp_path, canvas):
  with Stage(tmp_path, xvfb) as stage:
    Sent().show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    with Canvas(LAYOUTS["r8g8b8"], WIDTH, HEIGHT) as refused:
        Dmabuf().show(stage.listener, refused)
        import time; time.sleep(1)
        np.save("out/x.npy", stage.shown())
        print(stage.viewer.output)
    assert 0
